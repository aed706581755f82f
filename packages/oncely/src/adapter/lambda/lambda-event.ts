// What is read of API Gateway's events, and what it takes for an answer; the types of `@types/aws-lambda` fit. Source: "Payload format
// versions" in Amazon's manual of API Gateway.

/** An event of payload format 2.0: HTTP APIs and function URLs. Lines of a repeated header arrive joined with commas. */
export interface HttpApiEvent {
  readonly version: string
  /** `POST /payments/{id}`, or `$default`. */
  readonly routeKey: string
  readonly rawPath: string
  readonly rawQueryString: string
  readonly headers: Readonly<Record<string, string | undefined>>
  readonly pathParameters?: Readonly<Record<string, string | undefined>> | undefined
  readonly requestContext: { readonly http: { readonly method: string } }
  readonly body?: string | undefined
  readonly isBase64Encoded: boolean
}

/** An event of payload format 1.0: REST APIs. Its query is decoded. */
export interface RestApiEvent {
  readonly httpMethod: string
  /** `/payments/{id}`. */
  readonly resource: string
  readonly path: string
  readonly headers: Readonly<Record<string, string | undefined>> | null
  readonly multiValueHeaders?: Readonly<Record<string, readonly string[] | undefined>> | null
  readonly pathParameters: Readonly<Record<string, string | undefined>> | null
  readonly queryStringParameters?: Readonly<Record<string, string | undefined>> | null
  readonly multiValueQueryStringParameters?: Readonly<Record<string, readonly string[] | undefined>> | null
  readonly body: string | null
  readonly isBase64Encoded: boolean
}

export type LambdaEvent = HttpApiEvent | RestApiEvent

/** What is asked of the invocation. */
export interface LambdaContext {
  getRemainingTimeInMillis(): number
}

export interface HttpApiResult {
  statusCode: number
  headers: Record<string, string>
  cookies: string[]
  body: string
  isBase64Encoded: boolean
}

export interface RestApiResult {
  statusCode: number
  multiValueHeaders: Record<string, string[]>
  body: string
  isBase64Encoded: boolean
}

/** The result in the format of its event. */
export type LambdaResult<Event extends LambdaEvent> = Event extends HttpApiEvent ? HttpApiResult : RestApiResult

export function isHttpApi(event: LambdaEvent): event is HttpApiEvent {
  return 'rawPath' in event
}
