import { postgresStore } from 'oncely/store/postgres'
import { fromPrisma } from 'oncely/transaction/prisma'
import { expectTypeOf, test } from 'vitest'
import type { SqlLayer, TransactionalStore } from '../../src/core/index.ts'
import { layerSuite } from './layer-suite.ts'
import { type PrismaClient, type PrismaTransaction, prismaClient } from './prisma-client.ts'

layerSuite<PrismaTransaction>(
  (url, max) => {
    const prisma = prismaClient(url, max)
    return {
      layer: fromPrisma(prisma),
      execute: (tx, statement) => tx.$executeRawUnsafe(statement),
      begin: (work) => prisma.$transaction(work),
      close: () => prisma.$disconnect(),
    }
  },
  { extra: 2, extraWithin: 4 },
)

test("the handler gets Prisma's own transaction client type", () => {
  expectTypeOf(fromPrisma({} as PrismaClient)).toEqualTypeOf<SqlLayer<PrismaTransaction>>()
  expectTypeOf(postgresStore(fromPrisma({} as PrismaClient))).toEqualTypeOf<TransactionalStore<PrismaTransaction>>()
})
