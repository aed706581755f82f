export { nodeCipher } from './node-cipher.ts'
export { nodeClock } from './node-clock.ts'
export { nodeHasher } from './node-hasher.ts'
export { nodeRandom } from './node-random.ts'
