import { anonymous, ConfigurationError } from 'oncely'
import { headerValues } from 'oncely/http'

/** Who calls, told from a request's header lines; undefined where the request does not say. */
export type PrincipalSource = (headers: readonly string[]) => string | typeof anonymous | undefined

/** What one header of a request says; undefined where it is missing, empty or there twice. */
export type HeaderSource = (headers: readonly string[]) => string | undefined

/** The forms that `--principal` takes, for messages. */
const principalForms: string = [
  '  header:NAME            a header that a trusted hop in front of the gateway sets, such as header:x-account-id',
  '  header:authorization   the credential itself, where it stays the same over retries (an API key, Basic)',
  '  anonymous              every caller shares keys: only where there is one caller, or keys are unguessable',
].join('\n')

/**
 * Reads the form of a principal.
 *
 * @throws ConfigurationError for a missing or unknown form; it names the forms.
 */
export function principalSource(form: string | undefined): PrincipalSource {
  if (form === undefined) {
    throw new ConfigurationError(
      `The gateway needs --principal: who a key belongs to is never guessed, or one caller would read the answers of another. The forms are:\n${principalForms}`,
    )
  }
  if (form === 'anonymous') return () => anonymous
  const source = headerSource(form)
  if (source === undefined)
    throw new ConfigurationError(`--principal ${JSON.stringify(form)} is unknown. The forms are:\n${principalForms}`)
  return source
}

/**
 * Reads the form of an actor.
 *
 * @throws ConfigurationError for anything but `header:NAME`.
 */
export function actorSource(form: string): HeaderSource {
  const source = headerSource(form)
  if (source !== undefined) return source
  throw new ConfigurationError(`--actor is ${JSON.stringify(form)}; write header:NAME, a header that a trusted hop in front sets.`)
}

function headerSource(form: string): HeaderSource | undefined {
  const name = /^header:([!#$%&'*+.^_`|~0-9A-Za-z-]+)$/.exec(form)?.[1]?.toLowerCase()
  if (name === undefined) return undefined
  return (headers) => {
    const values = headerValues(headers, name)
    // Two lines are two callers: none of them is the one that was verified.
    return values.length === 1 && values[0] !== '' ? values[0] : undefined
  }
}

/** The header that a form reads; undefined for `anonymous`. */
export function principalHeader(form: string): string | undefined {
  return form.startsWith('header:') ? form.slice('header:'.length).toLowerCase() : undefined
}
