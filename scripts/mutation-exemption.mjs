// What mutation testing leaves alone: the wording of errors. Tests hold their codes, and the values and bounds they name.

/**
 * @typedef {{ node: any, parent: any, listKey?: string, key?: string | number, isStringLiteral(): boolean, isTemplateLiteral(): boolean }} Path
 */

const errorName =
  /(Error|Invalid|InvalidInput|Missing|NotCaptured|NotStorable|Unavailable|TooWeak|Mismatch|Conflict|Dead|Escaped|Foreign\w*|Lost|Corrupt|Unsupported|Draining)$/

/** Functions whose text argument ends in an error's message: what was being waited for. */
const namesInMessages = ['bounded', 'insist', 'lose']

export const strykerPlugins = [
  {
    kind: 'Ignore',
    name: 'error-text',
    value: {
      /** @param {Path} path */
      shouldIgnore(path) {
        if (!path.isStringLiteral() && !path.isTemplateLiteral()) return undefined
        return isErrorText(path) ? 'wording of an error' : undefined
      },
    },
  },
]

/** @param {Path} path */
function isErrorText({ parent, listKey }) {
  if (listKey !== 'arguments') return false
  const { callee } = parent
  if (parent.type === 'NewExpression') return errorName.test(callee.name ?? '')
  if (parent.type !== 'CallExpression') return false
  return callee.type === 'Super' || namesInMessages.includes(callee.name ?? callee.property?.name ?? '')
}
