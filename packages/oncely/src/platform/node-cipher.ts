import { createCipheriv, createDecipheriv } from 'node:crypto'
import type { Cipher } from '../core/index.ts'

const algorithm = 'aes-256-gcm'
const tagBytes = 16

/** AES-256-GCM of `node:crypto`. */
export const nodeCipher: Cipher = {
  encrypt: (key, nonce, plain, bound) => {
    const cipher = createCipheriv(algorithm, key, nonce, { authTagLength: tagBytes }).setAAD(bound)
    const sealed = new Uint8Array(plain.length + tagBytes)
    const body = cipher.update(plain)
    sealed.set(body)
    sealed.set(cipher.final(), body.length)
    sealed.set(cipher.getAuthTag(), plain.length)
    return sealed
  },
  decrypt: (key, nonce, sealed, bound) => {
    if (sealed.length < tagBytes) return undefined
    const body = sealed.subarray(0, -tagBytes)
    const decipher = createDecipheriv(algorithm, key, nonce, { authTagLength: tagBytes })
      .setAAD(bound)
      .setAuthTag(sealed.subarray(-tagBytes))
    const plain = new Uint8Array(body.length)
    plain.set(decipher.update(body))
    try {
      decipher.final()
    } catch {
      return undefined
    }
    return plain
  },
}
