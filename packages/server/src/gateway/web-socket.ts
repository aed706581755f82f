import { request as httpRequest, type IncomingMessage, STATUS_CODES } from 'node:http'
import { request as httpsRequest } from 'node:https'
import { type Duplex, pipeline } from 'node:stream'
import type { HttpResponse } from 'oncely/http'
import { responseLines } from './forwarded-header.ts'
import { gatewayProblem } from './gateway-problem.ts'
import type { Upstream } from './upstream.ts'

export interface WebSocketOptions {
  readonly upstream: Upstream
  readonly problemBase: string
  readonly connectTimeoutMs: number
}

/**
 * Passes a WebSocket through. Nothing of the client's bytes reaches the service before it has answered 101: what follows a refused
 * upgrade would otherwise be requests that the gateway never saw.
 */
export function passWebSocket(options: WebSocketOptions, request: IncomingMessage, socket: Duplex, head: Buffer, target: string): void {
  const { upstream } = options
  const lines = upstream.head(request, false)
  lines.push('connection', 'upgrade', 'upgrade', 'websocket')
  const send = upstream.url.protocol === 'https:' ? httpsRequest : httpRequest
  const outgoing = send(upstream.url.origin, { method: 'GET', path: upstream.path(target), headers: lines, agent: false, setHost: false })
  outgoing.setTimeout(options.connectTimeoutMs, () => outgoing.destroy())
  socket.on('error', () => outgoing.destroy())
  socket.on('close', () => outgoing.destroy())
  outgoing.on('upgrade', (answer, remote, rest) => {
    remote.setTimeout(0)
    socket.write(headText(101, [...responseLines(answer.rawHeaders, false), ['connection', 'upgrade'], ['upgrade', 'websocket']]))
    if (rest.length > 0) socket.write(rest)
    if (head.length > 0) remote.write(head)
    const end = (): void => {
      socket.destroy()
      remote.destroy()
    }
    socket.on('error', end).on('close', end)
    remote.on('error', end).on('close', end)
    remote.pipe(socket).pipe(remote)
  })
  const refuse = (): void => refuseUpgrade(socket, gatewayProblem(options.problemBase, 'upstream-unreachable', 'The upgrade was not done.'))
  outgoing.on('response', (answer) => {
    // An answer that breaks off ends here: a second one behind it would be read as its end.
    outgoing.off('error', refuse).on('error', () => socket.destroy())
    socket.write(headText(answer.statusCode ?? 502, [...responseLines(answer.rawHeaders, false), ['connection', 'close']]))
    pipeline(answer, socket, () => socket.destroy())
  })
  outgoing.on('error', refuse)
  outgoing.end()
}

/** Answers an upgrade that is not done, and closes the connection: its bytes have no meaning any more. */
export function refuseUpgrade(socket: Duplex, { status, headers, body }: HttpResponse): void {
  // The server has let go of the socket: a client that resets it must not end the process, and one that keeps it open must not hold it.
  socket.on('error', () => {})
  if (!socket.writable) return void socket.destroy()
  socket.write(headText(status, [...headers, ['connection', 'close'], ['content-length', String(body.length)]]))
  socket.end(body, () => socket.destroy())
}

function headText(status: number, headers: HttpResponse['headers']): Buffer {
  const lines = headers.map(([name, value]) => `${name}: ${value}\r\n`).join('')
  return Buffer.from(`HTTP/1.1 ${status} ${STATUS_CODES[status] ?? ''}\r\n${lines}\r\n`, 'latin1')
}
