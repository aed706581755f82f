import { ConfigurationError, type OperationDefinition } from '../core/index.ts'
import { defaultProblemBase, type ProblemName, problemKinds } from './problem.ts'
import { routesOfOperation } from './route.ts'
import { operationSpecification, type Published } from './specification.ts'

type Json = Readonly<Record<string, unknown>>

/** The part of an OpenAPI 3.1 document that is read. */
export interface OpenApiDocument {
  readonly openapi: string
  readonly paths?: Readonly<Record<string, object>>
  readonly components?: object
}

/**
 * Describes idempotency in your own OpenAPI 3.1 document, from what runs: the `Idempotency-Key` parameter, the problems, the headers of
 * replays, and the policy as `x-idempotency`. `operations` names for each `operationId` the operation behind it. The document is not
 * changed; a copy is answered. What it describes already is kept.
 *
 * @example const described = openApi(document, oncely, { createPayment: 'create-payment' })
 * @throws ConfigurationError for another version of OpenAPI, and for names that are in neither.
 */
export function openApi<Document extends OpenApiDocument>(
  document: Document,
  published: Published,
  operations: Readonly<Record<string, string>>,
): Document {
  if (!/^3\.1\.\d+$/.test(document.openapi))
    throw new ConfigurationError(`openApi: the document is of OpenAPI ${JSON.stringify(document.openapi)}; it must be of 3.1.`)
  const described = new Map<string, OperationDefinition>()
  for (const [operationId, name] of Object.entries(operations)) {
    const definition = published.operations.find((candidate) => candidate.name === name)
    if (definition === undefined)
      throw new ConfigurationError(`openApi: "${operationId}" names the operation "${name}", which is not declared; declare it first.`)
    described.set(operationId, definition)
  }
  const paths = Object.fromEntries(
    Object.entries(document.paths ?? {}).map(([path, item]) => [path, describePath(path, item as Json, described)]),
  )
  const [missing] = described.keys()
  if (missing !== undefined)
    throw new ConfigurationError(`openApi: no operation of the document has the operationId "${missing}"; give it one, or leave it out.`)
  const components = (document.components ?? {}) as Json
  return {
    ...document,
    paths,
    components: { ...components, schemas: { ...(components['schemas'] as Json | undefined), [schemaName]: problemSchema } },
  }
}

const schemaName = 'IdempotencyProblem'

/** RFC 9457 with the machine fields that a client needs to decide about a retry. */
const problemSchema: Json = {
  type: 'object',
  required: ['type', 'title', 'status', 'detail', 'retryable', 'same_key', 'safe_new_key'],
  properties: {
    type: { type: 'string', format: 'uri' },
    title: { type: 'string' },
    status: { type: 'integer' },
    detail: { type: 'string' },
    reason: { type: 'string' },
    issues: { type: 'array', items: { type: 'string' } },
    retryable: { type: 'boolean', description: 'The same request can succeed later without a change.' },
    same_key: { type: 'boolean', description: 'A repeat must carry the same key.' },
    safe_new_key: { type: 'boolean', description: 'A new key cannot make an effect happen twice.' },
    operation_state: { type: 'string' },
    record: { type: 'string' },
    original_status: { type: 'integer' },
    resource: { type: 'string' },
    resolution: { type: 'string' },
  },
}

/** Methods that can be protected, as OpenAPI spells them. */
const methods: readonly string[] = ['post', 'put', 'patch', 'delete']
const safeMethods: readonly string[] = ['get', 'head', 'options', 'trace']

/** Describes the named operations of one path, and takes them out of the list. */
function describePath(path: string, item: Json, described: Map<string, OperationDefinition>): Json {
  const copy: Record<string, unknown> = { ...item }
  for (const method of [...methods, ...safeMethods]) {
    const operation = item[method] as Json | undefined
    const operationId = operation?.['operationId']
    const definition = typeof operationId === 'string' ? described.get(operationId) : undefined
    if (operation === undefined || definition === undefined) continue
    if (safeMethods.includes(method))
      throw new ConfigurationError(
        `openApi: "${String(operationId)}" is ${method.toUpperCase()} ${path}, which is safe and never protected. Leave it out.`,
      )
    described.delete(operationId as string)
    copy[method] = describeOperation(operation, definition)
  }
  return copy
}

function describeOperation(operation: Json, definition: OperationDefinition): Json {
  const [route] = routesOfOperation(definition)
  const own = ((operation['parameters'] ?? []) as readonly Json[]).filter(
    ({ name, in: place }) => place !== 'header' || String(name).toLowerCase() !== 'idempotency-key',
  )
  return {
    ...operation,
    parameters: [...own, keyParameter(definition, route?.keyField)],
    responses: describeResponses((operation['responses'] ?? {}) as Json, route?.problemBase ?? defaultProblemBase, definition),
    'x-idempotency': operationSpecification(definition),
  }
}

function keyParameter({ phase, payloadKey }: OperationDefinition, keyField: string | undefined): Json {
  return {
    name: 'Idempotency-Key',
    in: 'header',
    required: phase === 'enforce' && !payloadKey && keyField === undefined,
    description: 'One new key for each intent, the same key on each retry of it.',
    schema: { type: 'string', minLength: 1 },
  }
}

const retryAfter: Json = {
  description: 'Seconds after which to repeat the request with the same key.',
  schema: { type: 'integer', minimum: 1 },
}
const replayed: Json = {
  description: 'There when this is the stored answer of an earlier request.',
  schema: { type: 'string', const: 'true' },
}

function describeResponses(own: Json, base: string, definition: OperationDefinition): Json {
  const responses: Record<string, unknown> = {}
  for (const [status, response] of Object.entries(own)) responses[status] = /^2/.test(status) ? withReplay(response as Json) : response
  for (const [status, names] of problemsByStatus(definition))
    responses[status] = withProblem(responses[status] as Json | undefined, base, names)
  return responses
}

/** A reference is somebody else's text: what is behind it is not known here. */
function withReplay(response: Json): Json {
  if ('$ref' in response) return response
  return { ...response, headers: { ...(response['headers'] as Json | undefined), 'Idempotent-Replayed': replayed } }
}

const withRetryAfter: ReadonlySet<ProblemName> = new Set(['in-progress', 'over-budget', 'unavailable', 'unrecorded'])

function withProblem(response: Json | undefined, base: string, names: readonly ProblemName[]): Json {
  if (response !== undefined && '$ref' in response) return response
  const content = response?.['content'] as Json | undefined
  const retries = names.some((name) => withRetryAfter.has(name))
  const headers = { ...(response?.['headers'] as Json | undefined), ...(retries ? { 'Retry-After': retryAfter } : {}) }
  const schema = {
    allOf: [{ $ref: `#/components/schemas/${schemaName}` }, { properties: { type: { enum: names.map((name) => base + name) } } }],
  }
  return {
    description: names.map((name) => problemKinds[name].title).join('; '),
    ...response,
    ...(Object.keys(headers).length === 0 ? {} : { headers }),
    content: { 'application/problem+json': { schema }, ...content },
  }
}

/** The problems that an operation can answer, by status. */
function problemsByStatus(definition: OperationDefinition): ReadonlyMap<string, readonly ProblemName[]> {
  const byStatus = new Map<string, ProblemName[]>()
  if (definition.phase === 'observe') return byStatus
  for (const [name, { status }] of Object.entries(problemKinds) as [ProblemName, { status: number }][]) {
    if (!possible(name, definition)) continue
    const names = byStatus.get(String(status))
    if (names === undefined) byStatus.set(String(status), [name])
    else names.push(name)
  }
  return byStatus
}

function possible(name: ProblemName, { phase, input, payloadKey }: OperationDefinition): boolean {
  switch (name) {
    case 'key-missing':
      return phase === 'enforce' && !payloadKey
    case 'input-invalid':
      return input !== undefined
    // For routes whose key is in a signed message, which have no Idempotency-Key.
    case 'signature-invalid':
      return false
    default:
      return true
  }
}
