import { ConfigurationError, toHex } from '../../core/index.ts'

/** The keys of one record. Its id is written as hexadecimal digits. */
export interface RecordKeys {
  readonly hex: string
  readonly record: string
  /** The bytes that are replayed, so that the record stays small to read. */
  readonly outcome: string
  /** What every line of the trail begins with. */
  readonly trail: string
  readonly counts: string
}

/** Where the keys of one prefix lie. */
export class EtcdPlace {
  readonly prefix: string
  readonly instance: string
  readonly records: string
  readonly dues: string

  /** @throws ConfigurationError for a prefix that is empty, long or not of ASCII letters, digits and `-_./:`. */
  constructor(prefix: string) {
    if (!/^[\w\-./:]{1,100}$/.test(prefix))
      throw new ConfigurationError('prefix must have 1 to 100 ASCII letters, digits or characters of "-_./:"; choose such a name.')
    this.prefix = prefix
    this.instance = `${prefix}/instance`
    this.records = `${prefix}/record/`
    this.dues = `${prefix}/due/`
  }

  keysOf(id: Uint8Array | string): RecordKeys {
    const hex = typeof id === 'string' ? id : toHex(id)
    return {
      hex,
      record: `${this.records}${hex}`,
      outcome: `${this.prefix}/outcome/${hex}`,
      trail: `${this.prefix}/trail/${hex}/`,
      counts: `${this.prefix}/counts/${hex}`,
    }
  }

  /** A key that sorts by the time at which somebody should look at the record again. */
  due(atMs: number, hex: string): string {
    return `${this.dues}${String(Math.ceil(atMs)).padStart(16, '0')}/${hex}`
  }
}
