/**
 * Input that is no HTTP/1.1, or no request that a server may take (RFC 9110,
 * RFC 9112): a name, the bytes, and what comes of it. `end` is the end of the
 * connection; an answer without it leaves the connection open.
 */
export type Row = readonly [name: string, bytes: string, outcome: string]

const host = "Host: x\r\n"
const get = (headers: string): string => `GET / HTTP/1.1\r\n${host}${headers}\r\n`
const post = (headers: string, body = ""): string => `POST /echo HTTP/1.1\r\n${host}${headers}\r\n${body}`
const chunked = (body: string): string => post("Transfer-Encoding: chunked\r\n", body)
const length = (value: string): string => post(`Content-Length: ${value}\r\n`, "hello")
const line = (first: string): string => `${first}\r\n${host}\r\n`

const requestLines: ReadonlyArray<Row> = [
  ["words", "hello there\r\n\r\n", "400 end"],
  ["a method alone", "GET\r\n\r\n", "400 end"],
  ["HTTP/0.9", "GET /\r\n\r\n", "400 end"],
  ["no target", line("GET HTTP/1.1"), "400 end"],
  ["a version that is none", line("GET / HTTP/x.y"), "400 end"],
  ["version 9.9", line("GET / HTTP/9.9"), "400 end"],
  ["version 1.2", line("GET / HTTP/1.2"), "400 end"],
  ["version 1.10", line("GET / HTTP/1.10"), "400 end"],
  ["version 11", line("GET / HTTP/11"), "400 end"],
  ["a version in lower case", line("GET / http/1.1"), "400 end"],
  ["another protocol", line("GET / HTTPS/1.1"), "400 end"],
  ["RTSP", line("DESCRIBE / RTSP/1.0"), "404 end"],
  ["tabs", line("GET\t/\tHTTP/1.1"), "400 end"],
  ["a space before the method", line(" GET / HTTP/1.1"), "400 end"],
  ["something after the version", line("GET / HTTP/1.1 x"), "400 end"],
  ["a space in the target", line("GET /a b HTTP/1.1"), "400 end"],
  ["NUL in the target", line("GET /\0 HTTP/1.1"), "400 end"],
  ["a control character in the target", line("GET /\x01 HTTP/1.1"), "400 end"],
  ["a method in lower case", line("get / HTTP/1.1"), "400 end"],
  ["a method that is no token", line("G@T / HTTP/1.1"), "400 end"],
  ["a method that is not there", line("BREW / HTTP/1.1"), "400 end"],
  ["a long method", line(`${"G".repeat(70_000)} / HTTP/1.1`), "400 end"],
  ["a target of 20 KB", line(`GET /${"a".repeat(20_000)} HTTP/1.1`), "431 end"],
  ["the hello of TLS", "\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03", "400 end"],
  ["a banner of SSH", "SSH-2.0-OpenSSH_9.6\r\n", "400 end"],
  ["a greeting of SMTP", "EHLO x\r\n", "400 end"],
  ["a command of Redis", "*1\r\n$4\r\nPING\r\n", "400 end"],
  ["NULs", "\0".repeat(100), "400 end"],
  ["the preface of HTTP/2, with an error", "PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n", "end"],
  ["lines that end in CR", "GET / HTTP/1.1\rHost: x\r\r", "400 end"],
  ["lines that end in LF CR", "GET / HTTP/1.1\n\rHost: x\n\r\n\r", "400 end"],
  ["no host", "GET / HTTP/1.1\r\n\r\n", "400 end"],
  ["a tunnel", "CONNECT x:1 HTTP/1.1\r\nHost: x:1\r\n\r\n", "end"]
]

const headers: ReadonlyArray<Row> = [
  ["no colon", get("foo\r\n"), "400 end"],
  ["a space before the colon", get("foo : x\r\n"), "400 end"],
  ["a tab before the colon", get("foo\t: x\r\n"), "400 end"],
  ["a space before the name", get(" foo: x\r\n"), "400 end"],
  ["a fold", get("foo: a\r\n b\r\n"), "400 end"],
  ["a fold of the first", "GET / HTTP/1.1\r\n Host: x\r\n\r\n", "400 end"],
  ["no name", get(": x\r\n"), "400 end"],
  ["NUL in a name", get("f\0o: x\r\n"), "400 end"],
  ["NUL in a value", get("foo: a\0b\r\n"), "400 end"],
  ["a control character in a name", get("f\x01o: x\r\n"), "400 end"],
  ["a control character in a value", get("foo: a\x01b\r\n"), "400 end"],
  ["DEL in a value", get("foo: a\x7fb\r\n"), "400 end"],
  ["CR in a value", get("foo: a\rb\r\n"), "400 end"],
  ["LF in a value", get("foo: a\nb\r\n"), "400 end"],
  ["a name of other letters", get("f\xf6o: x\r\n"), "400 end"],
  ["a bracket in a name", get("f(o: x\r\n"), "400 end"],
  ["a comma in a name", get("f,o: x\r\n"), "400 end"],
  ["a quote in a name", get("f\"o: x\r\n"), "400 end"],
  ["a head of 20 KB", get(`foo: ${"a".repeat(20_000)}\r\n`), "431 end"],
  ["a head of 2 MB", get(`foo: ${"a".repeat(1_000)}\r\n`.repeat(2_000)), "431 end"],
  ["a name of 20 KB", get(`${"f".repeat(20_000)}: x\r\n`), "431 end"],
  ["a name without an end", `GET / HTTP/1.1\r\n${"f".repeat(100_000)}`, "431 end"],
  ["an expectation that is none", get("Expect: a miracle\r\n"), "417"]
]

const bodies: ReadonlyArray<Row> = [
  ["a negative length", length("-5"), "400 end"],
  ["a length with a sign", length("+5"), "400 end"],
  ["two lengths in one", length("5, 5"), "400 end"],
  ["two numbers", length("5 5"), "400 end"],
  ["a length in hexadecimal", length("0x5"), "400 end"],
  ["a length with a point", length("5.0"), "400 end"],
  ["a length with an exponent", length("5e0"), "400 end"],
  ["a length of words", length("five"), "400 end"],
  ["an empty length", length(""), "400 end"],
  ["a length beyond 64 bits", length("99999999999999999999999"), "400 end"],
  ["a length of other digits", length("\xb5"), "400 end"],
  ["two lengths alike", post("Content-Length: 5\r\nContent-Length: 5\r\n", "hello"), "400 end"],
  ["two lengths that differ", post("Content-Length: 5\r\nContent-Length: 6\r\n", "hello"), "400 end"],
  ["a length and chunks", post("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n"), "400 end"],
  ["chunks and a length", post("Transfer-Encoding: chunked\r\nContent-Length: 5\r\n", "0\r\n\r\n"), "400 end"],
  ["another coding", post("Transfer-Encoding: gzip\r\n", "hello"), "400 end"],
  ["chunks that are not last", post("Transfer-Encoding: chunked, gzip\r\n", "0\r\n\r\n"), "400 end"],
  ["a coding that only looks like chunks", post("Transfer-Encoding: xchunked\r\n", "0\r\n\r\n"), "400 end"],
  ["chunks with a control character", post("Transfer-Encoding: chunked\x0b\r\n", "0\r\n\r\n"), "400 end"],
  ["chunks in quotes", post("Transfer-Encoding: \"chunked\"\r\n", "0\r\n\r\n"), "400 end"],
  ["an identity", post("Transfer-Encoding: identity\r\n", "hello"), "400 end"],
  ["chunks with a space before the colon", post("Transfer-Encoding : chunked\r\n", "0\r\n\r\n"), "400 end"],
  ["a size of words", chunked("five\r\nhello\r\n0\r\n\r\n"), "400 end"],
  ["a negative size", chunked("-5\r\nhello\r\n0\r\n\r\n"), "400 end"],
  ["a size with a sign", chunked("+5\r\nhello\r\n0\r\n\r\n"), "400 end"],
  ["a size in C", chunked("0x5\r\nhello\r\n0\r\n\r\n"), "400 end"],
  ["no size", chunked("\r\nhello\r\n0\r\n\r\n"), "400 end"],
  ["a space before a size", chunked(" 5\r\nhello\r\n0\r\n\r\n"), "400 end"],
  ["a space after a size", chunked("5 \r\nhello\r\n0\r\n\r\n"), "400 end"],
  ["a size beyond 64 bits", chunked("fffffffffffffffff\r\nhello\r\n0\r\n\r\n"), "400 end"],
  ["a size that ends in LF", chunked("5\nhello\r\n0\r\n\r\n"), "400 end"],
  ["a size that ends in CR", chunked("5\rhello\r\n0\r\n\r\n"), "400 end"],
  ["a chunk that is longer", chunked("5\r\nhello there\r\n0\r\n\r\n"), "400 end"],
  ["a chunk without an end", chunked("5\r\nhello0\r\n\r\n"), "400 end"],
  ["a chunk that ends in LF", chunked("5\r\nhello\n0\r\n\r\n"), "400 end"],
  ["an extension with NUL", chunked("5;a=\0\r\nhello\r\n0\r\n\r\n"), "400 end"],
  ["an extension with LF", chunked("5;a\nb\r\nhello\r\n0\r\n\r\n"), "400 end"],
  ["an extension of 20 KB", chunked(`5;${"a".repeat(20_000)}\r\nhello\r\n0\r\n\r\n`), "413 end"],
  ["chunks without an end", chunked("1;aaaaaaaaaaaaaaaa\r\nx\r\n".repeat(1_200)), "408 end"],
  ["a trailer without a colon", chunked("5\r\nhello\r\n0\r\nfoo\r\n\r\n"), "400 end"],
  ["a trailer with NUL", chunked("5\r\nhello\r\n0\r\nfoo: \0\r\n\r\n"), "400 end"],
  ["a trailer of 20 KB", chunked(`5\r\nhello\r\n0\r\nfoo: ${"a".repeat(20_000)}\r\n\r\n`), "431 end"]
]

const upgrade = (headers: string, first = "GET /ws HTTP/1.1"): string =>
  `${first}\r\n${host}Connection: Upgrade\r\nUpgrade: websocket\r\n${headers}\r\n`
const key = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"

const upgrades: ReadonlyArray<Row> = [
  ["no key", upgrade("Sec-WebSocket-Version: 13\r\n"), "400 end"],
  ["a key that is none", upgrade("Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: x\r\n"), "400 end"],
  ["no version", upgrade(key), "400 end"],
  ["version 1", upgrade(`Sec-WebSocket-Version: 1\r\n${key}`), "400 end"],
  ["a bad subprotocol", upgrade(`Sec-WebSocket-Version: 13\r\n${key}Sec-WebSocket-Protocol: a,,b\r\n`), "400 end"],
  ["a body", upgrade(`Sec-WebSocket-Version: 13\r\n${key}Content-Length: 2\r\n`) + "hi", "400"],
  ["another method", upgrade(`Sec-WebSocket-Version: 13\r\n${key}`, "POST /ws HTTP/1.1"), "404"],
  ["HTTP/1.0", upgrade(`Sec-WebSocket-Version: 13\r\n${key}`, "GET /ws HTTP/1.0"), "400 end"]
]

/** Older Nodes take them: see the tag `hardened-http`. */
export const tooManyHeaders: ReadonlyArray<Row> = [["5,000 headers", get("a: b\r\n".repeat(5_000)), "431 end"]]

export const tables = { "request lines": requestLines, headers, bodies, upgrades } as const
