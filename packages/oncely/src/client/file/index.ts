export { type FileKeysOptions, fileKeys } from './file-keys.ts'
