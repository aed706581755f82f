/** A client of `node-zookeeper-client` as far as it is called; the user connects and closes it. */
export interface ZookeeperClient {
  create(path: string, data: Buffer, mode: number, callback: (error: ZookeeperError | null, path?: string) => void): void
  getChildren(path: string, callback: (error: ZookeeperError | null, children?: readonly string[]) => void): void
  exists(path: string, callback: (error: ZookeeperError | null, stat?: ZookeeperStat | null) => void): void
  exists(path: string, watcher: () => void, callback: (error: ZookeeperError | null, stat?: ZookeeperStat | null) => void): void
  remove(path: string, callback: (error: ZookeeperError | null) => void): void
  /** Milliseconds, as the server granted them. */
  getSessionTimeout(): number
  /** Told when the client connects again after its session was over; until then it says nothing. */
  once(event: 'expired', listener: () => void): unknown
}

/** An `Error`, or the library's own `Exception`, which is none; its `code` is ZooKeeper's. */
export type ZookeeperError = object

export interface ZookeeperStat {
  /** The transaction that created the node: eight bytes. */
  readonly czxid: Buffer
  readonly ephemeralOwner: Buffer
}

/** The library's numbers: modes of `create`, and the errors that are expected. */
export const modes = { persistent: 0, ephemeralSequential: 3 } as const
const codes = { noNode: -101, nodeExists: -110, notEmpty: -111 } as const

export type Word = keyof typeof codes | 'done'

/** A call whose expected refusals are words; rejects with every other error. */
export function asked<T>(
  call: (callback: (error: ZookeeperError | null, value?: T) => void) => void,
): Promise<{ readonly word: Word; readonly value?: T }> {
  return new Promise((resolve, reject) => {
    call((error, value) => {
      if (error === null || error === undefined) return resolve(value === undefined ? { word: 'done' } : { word: 'done', value })
      const word = Object.entries(codes).find(([, code]) => 'code' in error && error.code === code)?.[0] as Word | undefined
      if (word === undefined) reject(error)
      else resolve({ word })
    })
  })
}
