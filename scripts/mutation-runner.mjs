// The test runner of mutation tests: a test file that does not load has a test that fails. Without it a mutant that keeps a
// module from loading leaves no failed test, and counts as one that nobody noticed.
import { TestRunner, test } from 'vitest'

export default class MutationRunner extends TestRunner {
  /**
   * @override
   * @param {string} path
   * @param {'collect' | 'setup'} source
   */
  async importFile(path, source) {
    try {
      return await super.importFile(path, source)
    } catch (error) {
      if (source === 'setup') throw error
      test('it loads', () => {
        throw error
      })
      return undefined
    }
  }
}
