/** The variable of the environment by which a holder of sockets passes them on: an `Inheritance` of `protocol.ts`. */
export const variable = "EFFECT_LISTENER_INHERIT"
