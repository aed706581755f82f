import { request as httpRequest, type IncomingMessage, STATUS_CODES } from 'node:http'
import { request as httpsRequest } from 'node:https'
import type { Duplex } from 'node:stream'
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
  outgoing.on('response', (answer) => {
    socket.write(
      headText(answer.statusCode ?? 502, [
        ...responseLines(answer.rawHeaders, false).filter(([name]) => name !== 'content-length'),
        ['connection', 'close'],
      ]),
    )
    answer.pipe(socket)
  })
  outgoing.on('error', () => refuseUpgrade(socket, gatewayProblem(options.problemBase, 'upstream-unreachable')))
  outgoing.end()
}

/** Answers an upgrade that is not done, and closes the connection: its bytes have no meaning any more. */
export function refuseUpgrade(socket: Duplex, { status, headers, body }: HttpResponse): void {
  if (!socket.writable) return
  socket.write(headText(status, [...headers, ['connection', 'close'], ['content-length', String(body.length)]]))
  socket.end(body)
}

function headText(status: number, headers: HttpResponse['headers']): Buffer {
  const lines = headers.map(([name, value]) => `${name}: ${value}\r\n`).join('')
  return Buffer.from(`HTTP/1.1 ${status} ${STATUS_CODES[status] ?? ''}\r\n${lines}\r\n`, 'latin1')
}
