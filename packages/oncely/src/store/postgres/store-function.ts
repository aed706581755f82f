import {
  type ClaimRequest,
  type Outcome,
  type Ownership,
  type SqlLayer,
  type SqlRows,
  type SqlValue,
  StoreUnavailable,
} from '../../core/index.ts'
import { answerOf, bindCodes, Dictionary, type DictionaryIds } from '../../sql/index.ts'
import { type LockKeys, lockKeysOf } from './lock-key.ts'
import { meaningOf, storeError } from './postgres-error.ts'
import { bytes, flag, hexOf, integer, nothing, type SqlArgument, type SqlCall, sqlCall, text, uuid } from './sql-call.ts'
import { qualified, type SqlPlace } from './sql-name.ts'

/** Times an autocommitted call is repeated after a conflict with another transaction, which changed nothing. */
const repeatsMax = 4

/** Calls our functions in the database: renders their arguments and maps their errors. */
export class StoreFunctions<Tx> {
  readonly layer: SqlLayer<Tx>
  readonly place: SqlPlace
  readonly #dictionary: Dictionary
  readonly #lockKeys: (request: ClaimRequest) => LockKeys

  constructor(layer: SqlLayer<Tx>, place: SqlPlace) {
    this.layer = layer
    this.place = place
    this.#lockKeys = lockKeysOf(place)
    this.#dictionary = new Dictionary((operation, policy) => {
      const { name, retentionMs, tombstoneMs, attemptsMax, onLostLease, effectTimeoutMs } = policy
      const numbers = [retentionMs, tombstoneMs, Math.min(attemptsMax, 2_147_483_647)].map(integer)
      const given = [text(operation), text(name), ...numbers, flag(onLostLease === 'takeover'), integer(effectTimeoutMs)]
      return this.word('a registration', this.call('register', given))
    })
  }

  nameOf(name: string): string {
    return qualified(this.place, name)
  }

  call(name: string, given: readonly SqlArgument[]): SqlCall {
    return sqlCall(this.nameOf(name), given)
  }

  dictionaryIds(request: ClaimRequest): DictionaryIds | Promise<DictionaryIds> {
    return this.#dictionary.find(request)
  }

  /** The answer of one call committed by itself; throws the port's error. */
  async word(what: string, { bound }: SqlCall): Promise<string> {
    return answerOf(await this.rows(what, bound.text, bound.values))
  }

  async rows(what: string, statement: string, values?: readonly SqlValue[]): Promise<SqlRows> {
    for (let repeat = 0; ; repeat++) {
      try {
        const result = await this.layer.query(statement, values)
        if (result.unreplicated) throw unreplicated()
        return result
      } catch (error) {
        if (repeat < repeatsMax && meaningOf(error, this.place) === 'retry') continue
        throw storeError(error, this.place, what)
      }
    }
  }

  /** `front`: through the front door of transaction mode. `instance`: refuse a transaction of another database than this one. */
  claim(request: ClaimRequest, ids: DictionaryIds, front: boolean, instance: string | undefined): SqlCall {
    const { fingerprint } = request
    const [newest] = fingerprint.keyed
    const locks = this.#lockKeys(request)
    return this.call('claim', [
      flag(front),
      instance === undefined ? nothing : uuid(instance),
      bytes(request.id),
      integer(locks.id),
      integer(locks.pair),
      integer(ids.operation),
      integer(ids.policy),
      integer(bindCodes[request.bind]),
      bytes(request.principal),
      integer(headOf(request.principal)),
      bytes(request.actor),
      integer(fingerprint.version),
      integer(newest?.keyId ?? 0),
      bytes(newest?.digest ?? fingerprint.plain),
      text(`,${fingerprint.keyed.map(({ keyId, digest }) => `${keyId}:${hexOf(digest)}`).join(',')},`),
      uuid(request.attemptId),
      integer(request.leaseMs),
      integer(request.resolverMs),
      flag(request.begun),
      flag(request.rerunnable),
      text(request.owner),
      text(request.traceId),
    ])
  }

  /** `strict`: in a transaction of the user's, where anything but `done` raises. `xact`: the transaction of the claim, if known. */
  complete(
    strict: boolean,
    xact: string | undefined,
    ownership: Ownership,
    outcome: Outcome,
    told: Told = { owner: '', traceId: '' },
  ): SqlCall {
    return this.call('complete', [
      flag(strict),
      xact === undefined ? nothing : text(xact),
      ...owned(ownership),
      ...stored(outcome),
      text(told.owner),
      text(told.traceId),
    ])
  }
}

export function unreplicated(): StoreUnavailable {
  return new StoreUnavailable('PostgreSQL committed here, but its wait for the synchronous standby was cut short.', { applied: 'unknown' })
}

/** Who claimed and in which trace, for the audit trail. */
type Told = Pick<ClaimRequest, 'owner' | 'traceId'>

/** The first eight bytes of a digest as a signed number, which an index holds in less room. */
function headOf(digest: Uint8Array): bigint {
  return digest.length < 8 ? 0n : new DataView(digest.buffer, digest.byteOffset, 8).getBigInt64(0)
}

/** The proof of a claim, as our functions take it. */
export function owned({ id, token, attemptId }: Ownership): readonly SqlArgument[] {
  return [bytes(id), integer(token.epoch), integer(token.seq), uuid(attemptId)]
}

export function stored(outcome: Outcome | undefined): readonly SqlArgument[] {
  return outcome === undefined ? [nothing, nothing, nothing] : [integer(outcome.codec), bytes(outcome.checksum), bytes(outcome.bytes)]
}
