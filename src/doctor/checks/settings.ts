import { nearestVariable } from '../../settings/layers.ts';
import { shellWord } from '../../settings/place.ts';
import type { Check, Finding } from '../check.ts';

/** Where the settings come from: files, environment, flags. */
export const settings: Check = {
  name: 'settings',
  async run({ settings: { files, exposed, unknown }, shown, fault }) {
    const details = { files, settings: shown };
    if (fault) {
      const { message, hint } = fault;
      const finding = { code: 'wrong_setting', message, fix: hint || 'correct it there' };
      return { summary: 'cannot be read', findings: [finding], details };
    }
    const findings: Finding[] = [
      ...exposed.map((path) => ({
        code: 'secrets_exposed',
        message: `${path} has secrets in it and others can read it`,
        fix: `chmod 600 ${shellWord(path)}`,
      })),
      ...(await Promise.all(unknown.map(unknownFinding))),
      ...keyFindings(shown.map(({ name }) => name)),
    ];
    const set = shown.filter(({ source }) => source !== 'default').length;
    return {
      summary: `${set} set, ${shown.length - set} by default${files.length > 0 ? `; read: ${files.join(', ')}` : ''}`,
      findings,
      details,
    };
  },
};

async function unknownFinding({ name, place }: { name: string; place?: string }): Promise<Finding> {
  const where = place === undefined ? '' : `${place}: `;
  return {
    code: 'unknown_variable',
    message: `${where}${name} is set and is no setting`,
    fix: `${place === undefined ? 'unset' : 'correct or remove'} ${name}; did you mean ${await nearestVariable(name)}?`,
  };
}

/** Tokens are verified by one kind of key. */
function keyFindings(names: readonly string[]): Finding[] {
  const keys = ['jwt.secret', 'jwt.jwks_url', 'jwt.public_key_file'].filter((key) => names.includes(key));
  if (keys.length < 2) return [];
  return [
    {
      code: 'several_keys',
      message: `${keys.join(' and ')} are set: infrasage serve takes one of them`,
      fix: `unset all but one of ${keys.join(', ')}`,
    },
  ];
}
