import { request as httpRequest, type IncomingMessage, type RequestOptions } from 'node:http'
import { connect, type Socket } from 'node:net'

export interface Exchanged {
  readonly status: number
  /** Names in lower case, one value a line. */
  readonly headers: Readonly<Record<string, readonly string[] | undefined>>
  readonly body: Buffer
  header(name: string): string | undefined
  json(): Record<string, unknown>
}

export interface ExchangeOptions {
  readonly method?: string
  readonly path?: string
  /** An array sends one line for each element. */
  readonly headers?: Readonly<Record<string, string | readonly string[]>>
  readonly body?: string | Uint8Array
}

/** One request on a connection of its own, its header lines as given; and the response as it came. */
export function exchange(port: number, options: ExchangeOptions): Promise<Exchanged> {
  const exchanged = new Promise<Exchanged>((resolve, reject) => {
    const request = httpRequest(nodeOptions(port, options), (response) => {
      readWhole(response).then(resolve, reject)
    })
    request.on('error', reject)
    request.end(options.body)
  })
  // A case that fails before it waits for its answer is told once, by its own failure.
  exchanged.catch(() => {})
  return exchanged
}

/** A request whose response is read as it arrives; `abort` cuts the connection. */
export function openExchange(port: number, options: ExchangeOptions): { readonly head: Promise<IncomingMessage>; abort(): void } {
  const request = httpRequest(nodeOptions(port, options))
  const head = new Promise<IncomingMessage>((resolve, reject) => {
    request.on('response', resolve).on('error', reject)
  })
  head.catch(() => {})
  request.end(options.body)
  return { head, abort: () => request.destroy() }
}

/** Sends bytes that no client would write, and answers with the status line's code. */
export function rawExchange(port: number, bytes: string): Promise<number> {
  return new Promise((resolve, reject) => {
    const socket: Socket = connect(port, '127.0.0.1', () => socket.write(Buffer.from(bytes, 'latin1')))
    let answer = ''
    socket.on('error', reject)
    socket.on('data', (chunk: Buffer) => {
      answer += chunk.toString('latin1')
      const status = /^HTTP\/1\.1 (\d{3}) /.exec(answer)?.[1]
      if (status === undefined) return
      socket.destroy()
      resolve(Number(status))
    })
    socket.on('close', () => reject(new Error('the connection ended without an answer')))
  })
}

export async function readWhole(response: IncomingMessage): Promise<Exchanged> {
  const chunks: Buffer[] = []
  for await (const chunk of response) chunks.push(chunk as Buffer)
  const headers = response.headersDistinct as Readonly<Record<string, readonly string[] | undefined>>
  const body = Buffer.concat(chunks)
  return {
    status: response.statusCode ?? 0,
    headers,
    body,
    header: (name) => headers[name]?.[0],
    json: () => JSON.parse(body.toString('utf8')) as Record<string, unknown>,
  }
}

function nodeOptions(port: number, { method = 'POST', path = '/payments', headers = {} }: ExchangeOptions): RequestOptions {
  const lines = Object.fromEntries(Object.entries(headers).map(([name, value]) => [name, typeof value === 'string' ? value : [...value]]))
  return { host: '127.0.0.1', port, method, path, headers: lines, agent: false }
}
