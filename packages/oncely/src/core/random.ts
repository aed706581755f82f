/** The only source of randomness: the platform's generator in production, a seeded one in the simulator. */
export interface Random {
  /** A random id (UUID version 4, lower case). */
  uuid(): string
  /** A float in [0, 1). */
  fraction(): number
}
