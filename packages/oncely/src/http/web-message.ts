import type { RequestBody, RequestFacts } from './request-facts.ts'
import { targetFacts } from './request-target.ts'
import type { HttpResponse } from './response.ts'

// Requests and responses of the Fetch standard. Fetch joins the lines of a repeated field with ", " (except Set-Cookie), so two
// lines of Idempotency-Key arrive as one value. The parser refuses that value as the list it is.

/** What the contract needs to know about a Fetch request, without its body and its caller. */
export function webFacts(request: Request): Pick<RequestFacts, 'method' | 'route' | 'query' | 'headers'> {
  const { pathname, search } = new URL(request.url)
  return { method: request.method, ...targetFacts(pathname + search), headers: [...request.headers].flat() }
}

const noBody: RequestBody = { kind: 'bytes', bytes: new Uint8Array(0) }

/** Reads the bytes of a Fetch request's body from a copy: the request itself can still be read. */
export async function readWebBody(request: Request, bytesMax: number): Promise<RequestBody> {
  const { body } = request
  if (body === null) return noBody
  if (request.bodyUsed || body.locked) return { kind: 'not-captured', fix: 'Read a clone() of the request before this route.' }
  const reader = (request.clone().body as NonNullable<typeof body>).getReader()
  const chunks: Uint8Array[] = []
  let length = 0
  try {
    for (let read = await reader.read(); !read.done; read = await reader.read()) {
      const chunk = read.value as Uint8Array
      length += chunk.length
      if (length > bytesMax) {
        // Settles only when the request's own half is cancelled or read too.
        reader.cancel().catch(() => {})
        return { kind: 'too-large', bytesMax }
      }
      chunks.push(chunk)
    }
  } catch {
    return { kind: 'incomplete' }
  }
  return { kind: 'bytes', bytes: joined(chunks, length) }
}

function joined(chunks: readonly Uint8Array[], length: number): Uint8Array {
  const [first] = chunks
  if (chunks.length === 1 && first !== undefined) return first
  const whole = new Uint8Array(length)
  let at = 0
  for (const chunk of chunks) {
    whole.set(chunk, at)
    at += chunk.length
  }
  return whole
}

/** Fetch refuses a body, even an empty one, for these. */
const bodiless: ReadonlySet<number> = new Set([204, 205, 304])

/** A body as Fetch takes it: null where the status has none. */
export function webBody({ status, body }: HttpResponse): Uint8Array<ArrayBuffer> | null {
  return bodiless.has(status) ? null : (body as Uint8Array<ArrayBuffer>)
}

/** A whole answer as a Fetch response; each line of a repeated field is appended. */
export function webResponse(response: HttpResponse): Response {
  const headers = new Headers()
  for (const [name, value] of response.headers) headers.append(name, value)
  return new Response(webBody(response), { status: response.status, headers })
}
