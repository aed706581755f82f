/** The messages of etcd's JSON gateway: bytes are base64, 64-bit numbers are strings, zeros and empty lists are left out. */

export interface KeyValue {
  readonly key: string
  readonly value: Uint8Array
  readonly createRevision: bigint
  readonly modRevision: bigint
}

export type Compare =
  | { readonly key: string; readonly target: 'MOD'; readonly result: 'EQUAL'; readonly mod_revision: string }
  | { readonly key: string; readonly target: 'CREATE'; readonly result: 'EQUAL'; readonly create_revision: string }

export type Operation =
  | { readonly request_put: { readonly key: string; readonly value: string; readonly lease?: string } }
  | { readonly request_delete_range: { readonly key: string; readonly range_end?: string } }
  | {
      readonly request_range: {
        readonly key: string
        readonly range_end?: string
        readonly limit?: string
        readonly sort_order?: 'ASCEND'
        readonly sort_target?: 'CREATE' | 'KEY'
        readonly keys_only?: boolean
      }
    }

export interface Transaction {
  readonly compare?: readonly Compare[]
  readonly success: readonly Operation[]
  readonly failure?: readonly Operation[]
}

export interface TransactionAnswer {
  readonly succeeded: boolean
  /** Of this transaction, where it wrote; else the newest. */
  readonly revision: bigint
  readonly clusterId: string
  /** The keys that each operation of the branch taken found; empty for one that writes. */
  readonly found: readonly (readonly KeyValue[])[]
}

/** The record's key is as it was read; 0 for a key that was not there. */
export function unchanged(key: string, modRevision: bigint): Compare {
  return { key: encode(key), target: 'MOD', result: 'EQUAL', mod_revision: String(modRevision) }
}

/** The key was created by the transaction of this revision; 0 for a key that is not there. */
export function createdAt(key: string, createRevision: bigint): Compare {
  return { key: encode(key), target: 'CREATE', result: 'EQUAL', create_revision: String(createRevision) }
}

export function put(key: string, value: string | Uint8Array, lease?: string): Operation {
  return { request_put: { key: encode(key), value: encode(value), ...(lease === undefined ? {} : { lease }) } }
}

export function remove(key: string): Operation {
  return { request_delete_range: { key: encode(key) } }
}

/** Every key that begins with `prefix`. */
export function removeAll(prefix: string): Operation {
  return { request_delete_range: { key: encode(prefix), range_end: encode(after(prefix)) } }
}

export function get(key: string): Operation {
  return { request_range: { key: encode(key) } }
}

/** Keys from `from` to below `to`, in their order. */
export function getRange(from: string, to: string, limit: number, keysOnly: boolean): Operation {
  return { request_range: { key: encode(from), range_end: encode(to), limit: String(limit), keys_only: keysOnly } }
}

/** Every key that begins with `prefix`, in the order in which they were created. */
export function getCreated(prefix: string): Operation {
  return { request_range: { key: encode(prefix), range_end: encode(after(prefix)), sort_order: 'ASCEND', sort_target: 'CREATE' } }
}

/** The first key after all that begin with `prefix`, which ends in an ASCII character. */
export function after(prefix: string): string {
  return prefix.slice(0, -1) + String.fromCharCode(prefix.charCodeAt(prefix.length - 1) + 1)
}

export function encode(value: string | Uint8Array): string {
  return Buffer.from(value as string).toString('base64')
}

export function decodeKey(key: string): string {
  return Buffer.from(key, 'base64').toString('utf8')
}

export interface WireWatchAnswer {
  readonly result?: {
    readonly created?: boolean
    readonly canceled?: boolean
    readonly events?: readonly { readonly kv: { readonly key: string } }[]
  }
}

interface WireKeyValue {
  readonly key: string
  readonly value?: string
  readonly create_revision?: string
  readonly mod_revision?: string
}

export interface WireHeader {
  readonly cluster_id?: string
  readonly revision?: string
}

export interface WireTransactionAnswer {
  readonly header: WireHeader
  readonly succeeded?: boolean
  readonly responses?: readonly { readonly response_range?: { readonly kvs?: readonly WireKeyValue[] } }[]
}

export function transactionAnswer({ header, succeeded, responses }: WireTransactionAnswer): TransactionAnswer {
  return {
    succeeded: succeeded ?? false,
    revision: BigInt(header.revision ?? 0),
    clusterId: header.cluster_id ?? '',
    found: (responses ?? []).map(({ response_range: range }) => (range?.kvs ?? []).map(keyValue)),
  }
}

function keyValue({ key, value, create_revision, mod_revision }: WireKeyValue): KeyValue {
  return {
    key: decodeKey(key),
    value: new Uint8Array(Buffer.from(value ?? '', 'base64')),
    createRevision: BigInt(create_revision ?? 0),
    modRevision: BigInt(mod_revision ?? 0),
  }
}
