export { fromPrisma, type PrismaDatabase, type PrismaExecutor, type PrismaOptions, type PrismaTx } from './prisma-layer.ts'
