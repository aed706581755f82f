import type { ReceivedMessage } from '../core/index.ts'

/** The producer's own id, else the CloudEvents one, else the position in an incarnation of the source. */
export function defaultMessageId(message: ReceivedMessage): string | undefined {
  const { headers, messageId } = message
  if (messageId !== undefined && messageId !== '') return messageId
  const named = header(headers, 'message-id') ?? header(headers, 'idempotency-key')
  if (named !== undefined) return named
  for (const prefix of ['ce_', 'ce-', 'cloudEvents:', 'cloudEvents_']) {
    const id = header(headers, `${prefix}id`)
    const source = header(headers, `${prefix}source`)
    if (id !== undefined && source !== undefined) return `${source} ${id}`
  }
  return positionOf(message)
}

/** Dedups redeliveries only, and needs the incarnation: a source that is made anew counts from the start again. */
function positionOf({ source, partition = 0, offset, incarnation }: ReceivedMessage): string | undefined {
  return offset === undefined || incarnation === undefined ? undefined : `${source}/${incarnation}/${partition}/${offset}`
}

function header(headers: Readonly<Record<string, string>>, name: string): string | undefined {
  const found = headers[name] ?? Object.entries(headers).find(([candidate]) => candidate.toLowerCase() === name.toLowerCase())?.[1]
  return found === '' ? undefined : found
}
