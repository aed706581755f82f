import { PrismaPg } from '@prisma/adapter-pg'
import { getPrismaClient } from '@prisma/client/runtime/client'

const compiler = '@prisma/client/runtime/query_compiler_fast_bg.postgresql'

/** The methods of a generated client that have nothing to do with its models, with their types. */
export interface PrismaClient {
  $queryRawUnsafe<T = unknown>(query: string, ...values: unknown[]): Promise<T>
  $executeRawUnsafe(query: string, ...values: unknown[]): Promise<number>
  $transaction<P extends Promise<unknown>[]>(work: [...P], options?: { isolationLevel?: string }): Promise<unknown[]>
  $transaction<R>(
    work: (tx: PrismaTransaction) => Promise<R>,
    options?: { maxWait?: number; timeout?: number; isolationLevel?: string },
  ): Promise<R>
  $disconnect(): Promise<void>
}

export type PrismaTransaction = Omit<PrismaClient, '$transaction' | '$disconnect'>

/**
 * A client for an empty schema, made as the generated file makes it: with the published runtime and the query compiler, without the
 * generator, which has to download an engine.
 */
export function prismaClient(connectionString: string, max: number): PrismaClient {
  const schema = 'generator client {\n  provider = "prisma-client"\n}\n\ndatasource db {\n  provider = "postgresql"\n}\n'
  const Client = getPrismaClient({
    previewFeatures: [],
    clientVersion: '7.10.0',
    engineVersion: '',
    activeProvider: 'postgresql',
    inlineSchema: schema,
    runtimeDataModel: { models: {}, enums: {}, types: {} },
    // No inputs, no outputs, no roots.
    parameterizationSchema: { strings: [], graph: 'AAAA' },
    compilerWasm: {
      getRuntime: () => import(`${compiler}.mjs`),
      getQueryCompilerWasmModule: async () => {
        const { wasm } = await import(`${compiler}.wasm-base64.mjs`)
        const { WebAssembly } = globalThis as unknown as { WebAssembly: { compile(bytes: Uint8Array): Promise<unknown> } }
        return WebAssembly.compile(Buffer.from(wasm, 'base64'))
      },
      importName: './query_compiler_fast_bg.js',
    },
  })
  return new Client({ adapter: new PrismaPg({ connectionString, max }) } as never) as unknown as PrismaClient
}
