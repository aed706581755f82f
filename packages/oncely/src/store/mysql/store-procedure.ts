import type { ClaimRequest, Isolation, Outcome, Ownership, SqlLayer, SqlRows } from '../../core/index.ts'
import { answerOf, bindCodes, Dictionary, type DictionaryIds } from '../../sql/index.ts'
import { meaningOf, storeError } from './mysql-error.ts'
import { bytes, flag, hexOf, integer, nothing, text, uuid } from './sql-literal.ts'
import { quoted, type SqlPlace } from './sql-name.ts'

/** Times an autocommitted call is repeated after a conflict with another transaction, which changed nothing. */
const repeatsMax = 4

/** A claim inside a transaction. */
export interface InsideClaim {
  /** The transaction is the user's. */
  readonly within: boolean
  /** The running record that it meets was seen from outside: somebody committed it. */
  readonly committed: boolean
  /** What is known of the transaction's isolation: it decides how a missing row is looked for without locking its neighbourhood. */
  readonly isolation: Isolation
  /** Refuse a transaction of another database than this one. */
  readonly instanceId: string | undefined
}

/** Calls our procedures in the database: renders their arguments and maps their errors. */
export class StoreProcedures<Tx> {
  readonly layer: SqlLayer<Tx>
  readonly place: SqlPlace
  readonly #dictionary: Dictionary

  constructor(layer: SqlLayer<Tx>, place: SqlPlace) {
    this.layer = layer
    this.place = place
    this.#dictionary = new Dictionary((operation, policy) => {
      const { name, retentionMs, tombstoneMs, attemptsMax, onLostLease, effectTimeoutMs } = policy
      const numbers = [retentionMs, tombstoneMs, Math.min(attemptsMax, 2_147_483_647)].map(integer)
      const given = [text(operation), text(name), ...numbers, flag(onLostLease === 'takeover'), integer(effectTimeoutMs)]
      return this.word('a registration', this.call('register', given))
    })
  }

  nameOf(name: string): string {
    return quoted(this.place, name)
  }

  call(name: string, given: readonly string[]): string {
    return `CALL ${this.nameOf(name)}(${given.join(', ')})`
  }

  dictionaryIds(request: ClaimRequest): DictionaryIds | Promise<DictionaryIds> {
    return this.#dictionary.find(request)
  }

  /** The answer of one call committed by itself; throws the port's error. */
  async word(what: string, statement: string): Promise<string> {
    return answerOf(await this.rows(what, statement))
  }

  async rows(what: string, statement: string): Promise<SqlRows> {
    for (let repeat = 0; ; repeat++) {
      try {
        return await this.layer.query(statement)
      } catch (error) {
        if (repeat < repeatsMax && meaningOf(error) === 'retry') continue
        throw storeError(error, this.place, what)
      }
    }
  }

  claimAlone(request: ClaimRequest, ids: DictionaryIds): string {
    return this.call('claim_alone', requested(request, ids))
  }

  claimInside(request: ClaimRequest, ids: DictionaryIds, { within, committed, isolation, instanceId }: InsideClaim): string {
    const instance = instanceId === undefined ? nothing : uuid(instanceId)
    return this.call('claim_inside', [flag(within), flag(committed), integer(looks[isolation]), instance, ...requested(request, ids)])
  }

  /** What the claim that found its row held may know of the holder; outside of the transaction. */
  peek({ id, fingerprint, attemptId }: ClaimRequest): string {
    return this.call('peek_alone', [bytes(id), integer(fingerprint.version), keyedLine(fingerprint), uuid(attemptId)])
  }

  completeAlone(ownership: Ownership, outcome: Outcome): string {
    return this.call('complete_alone', [...owned(ownership), ...stored(outcome), text(''), text('')])
  }

  /** `opened`: in a transaction that we opened. Anything but `done` and `alone` raises. */
  completeInside(opened: boolean, ownership: Ownership, outcome: Outcome, told: Told = { owner: '', traceId: '' }): string {
    return this.call('complete_inside', [flag(opened), ...owned(ownership), ...stored(outcome), text(told.owner), text(told.traceId)])
  }
}

/** `p_look` of the claim. */
const looks: Readonly<Record<Isolation, number>> = { default: 0, 'read-committed': 1, 'repeatable-read': 0, serializable: 2 }

/** Who claimed and in which trace, for the audit trail. */
type Told = Pick<ClaimRequest, 'owner' | 'traceId'>

function requested(request: ClaimRequest, ids: DictionaryIds): readonly string[] {
  const { fingerprint } = request
  const [newest] = fingerprint.keyed
  return [
    bytes(request.id),
    integer(ids.operation),
    integer(ids.policy),
    integer(bindCodes[request.bind]),
    bytes(request.principal),
    bytes(request.actor),
    integer(fingerprint.version),
    integer(newest?.keyId ?? 0),
    bytes(newest?.digest ?? fingerprint.plain),
    keyedLine(fingerprint),
    uuid(request.attemptId),
    integer(request.leaseMs),
    integer(request.resolverMs),
    flag(request.begun),
    flag(request.rerunnable),
    text(request.owner),
    text(request.traceId),
  ]
}

function keyedLine({ keyed }: ClaimRequest['fingerprint']): string {
  return `',${keyed.map(({ keyId, digest }) => `${integer(keyId)}:${hexOf(digest)}`).join(',')},'`
}

/** The proof of a claim, as our procedures take it. */
export function owned({ id, token, attemptId }: Ownership): readonly string[] {
  return [bytes(id), integer(token.epoch), integer(token.seq), uuid(attemptId)]
}

export function stored(outcome: Outcome | undefined): readonly string[] {
  return outcome === undefined ? [nothing, nothing, nothing] : [integer(outcome.codec), bytes(outcome.checksum), bytes(outcome.bytes)]
}
