/** What to do about each error of a listener, in a few words; its page says more. */
const cures = {
  InvalidOperation: "Correct the order of the calls",
  InvalidArgument: "Correct the option",
  OperationAborted: "Nothing is to be done where the abort was meant",
  OperationTimedOut: "Look at what took so long, or allow more time",
  ListenerFaulted: "Close it, and open it again",
  QuotaExceeded: "Raise the limit, or try again later",
  AddressInUse: "Stop the program that has it, or take another address",
  AddressNotAvailable: "Correct the address",
  AccessDenied: "Give the process the right, or take another address",
  SecurityFailure: "Correct the key or the certificate",
  NotSupported: "Leave the option out",
  TransportFailure: "Look at its cause"
}

/** Two sentences: what happened, and what to do, with the name of the page that says more. */
export const withPage = (tag: keyof typeof cures, what: string): string => `${what}. ${cures[tag]}: errors/${tag}`
