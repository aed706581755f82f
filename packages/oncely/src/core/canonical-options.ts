/** How a JSON document or value is brought into canonical form. */
export interface CanonicalOptions {
  /** Containers inside containers beyond which it is refused; default 128. A scalar has depth 0, `[]` has 1. */
  readonly jsonDepthMax?: number
  /** JSON pointers of volatile parts to drop, `*` for every element of an array: see `jsonExclusions`. */
  readonly exclude?: readonly string[]
}
