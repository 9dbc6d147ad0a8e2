/**
 * What a server of Node's answers by itself: to input that is no HTTP, and to
 * requests that are late.
 */

/** How the connection stood when its input turned out to be bad. */
export interface InputState {
  /** Some requests have no answer yet. */
  readonly unanswered: boolean
  /** What is bad belongs to the newest of them, whose body has not come whole. */
  readonly incomplete: boolean
  /** That one is the only one without an answer. */
  readonly alone: boolean
  /** The head of its answer is out. */
  readonly headSent: boolean
}

/**
 * - `"Answer"`: an error is answered now, and the connection ended.
 * - `"AfterAnswers"`: the requests before it are answered first.
 * - `"BreakOff"`: an answer is out in part, which an error cannot follow.
 */
export type BadInputAction = "Answer" | "AfterAnswers" | "BreakOff"

export const onBadInput = ({ alone, headSent, incomplete, unanswered }: InputState): BadInputAction =>
  !unanswered || (incomplete && alone && !headSent)
    ? "Answer"
    : incomplete && alone
    ? "BreakOff"
    : "AfterAnswers"

/** The head of the answer to an error of Node's parser or of its time-outs; none where the client is to hear nothing. */
export const answerTo = (code: string | undefined): string | undefined => {
  switch (code) {
    case "HPE_HEADER_OVERFLOW":
      return head("431 Request Header Fields Too Large")
    case "HPE_CHUNK_EXTENSIONS_OVERFLOW":
      return head("413 Payload Too Large")
    case "ERR_HTTP_REQUEST_TIMEOUT":
      return head("408 Request Timeout")
    // what follows a request that asked for the end
    case "HPE_CLOSED_CONNECTION":
      return undefined
    default:
      return head("400 Bad Request")
  }
}

const head = (status: string): string => `HTTP/1.1 ${status}\r\nConnection: close\r\n\r\n`

/** Whether Node's parser, and not the socket, has found something wrong. */
export const isBadInput = (code: string | undefined): boolean =>
  code?.startsWith("HPE_") === true || code === "ERR_HTTP_REQUEST_TIMEOUT"
