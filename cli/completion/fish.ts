import type { OptionWords, Values, Words } from './words.ts';

/** The completion script for fish, with what each word is for. */
export function fishScript({ groups, verbs, everywhere }: Words): string {
  const lines: string[] = [];
  for (const option of everywhere) lines.push(optionLine('', option));
  const top = [...verbs.filter(({ name }) => !name.includes(' ')), ...groups];
  for (const { name, summary } of top) {
    lines.push(line(['-n \'__zdd_agent_at "" 0\'', `-a ${name}`, `-d ${quoted(summary)}`]));
  }
  for (const { name, summary, args, options } of verbs) {
    const [group, verb] = name.split(' ');
    if (verb !== undefined) {
      lines.push(line([`-n '__zdd_agent_at ${group} 0'`, `-a ${verb}`, `-d ${quoted(summary)}`]));
    }
    for (const option of options) lines.push(optionLine(`-n '__zdd_agent_in "${name}"'`, option));
    args.forEach((values, index) => {
      const offer = offerOf(values);
      if (offer !== null) lines.push(line([`-n '__zdd_agent_at "${name}" ${index}'`, offer]));
    });
  }
  const taking = [
    ...everywhere.flatMap((option) => takes('*', option)),
    ...verbs.flatMap(({ name, options }) => options.flatMap((option) => takes(name, option))),
  ];
  return `# Completion of zdd-agent for fish. Made by: zdd-agent completion fish

# The verb before the cursor on the first line, how many words after it on the second.
function __zdd_agent_place
    set -l verb ''
    set -l place 0
    set -l skip no
    for word in (commandline -opc)[2..-1]
        if test $skip = yes
            set skip no
            continue
        end
        switch $word
            case '-*'
                switch "$verb:$word"
                    case ${taking.map(quoted).join(' ')}
                        set skip yes
                end
            case '*'
                if test -z "$verb"
                    set verb $word
                else if contains -- $verb ${groups.map(({ name }) => name).join(' ')}
                    set verb "$verb $word"
                else
                    set place (math $place + 1)
                end
        end
    end
    echo $verb
    echo $place
end

function __zdd_agent_at
    set -l found (__zdd_agent_place)
    test "$found[1]" = "$argv[1]" -a "$found[2]" = "$argv[2]"
end

function __zdd_agent_in
    set -l found (__zdd_agent_place)
    test "$found[1]" = "$argv[1]"
end

# What only the agent or zdd.yaml knows. Silent and quick, whatever happens.
function __zdd_agent_ask
    type -q zdd-agent; and zdd-agent complete $argv[1] 2>/dev/null
end

complete -c zdd-agent -e
complete -c zdd-agent -f
${lines.join('\n')}
`;
}

function line(parts: readonly string[]): string {
  return ['complete -c zdd-agent', ...parts.filter((part) => part !== '')].join(' ');
}

function optionLine(condition: string, { names, summary, value }: OptionWords): string {
  const spelled = names.map((name) =>
    name.startsWith('--') ? `-l ${name.slice(2)}` : `-s ${name.slice(1)}`,
  );
  const offer = value === null ? '' : `-r ${offerOf(value) ?? '-f'}`;
  return line([condition, ...spelled, offer, `-d ${quoted(summary)}`]);
}

function takes(verb: string, { names, value }: OptionWords): string[] {
  return value === null ? [] : names.map((name) => `${verb}:${name}`);
}

function offerOf(values: Values): string | null {
  switch (values.kind) {
    case 'none':
      return null;
    case 'files':
      return '-F';
    case 'words':
      return `-f -a ${quoted(values.words.join(' '))}`;
    case 'asked':
      return `-f -a '(__zdd_agent_ask ${values.what})'`;
  }
}

/** Single quotes of fish know two escapes: of themselves and of the backslash. */
function quoted(text: string): string {
  return `'${text.replaceAll(/['\\]/g, '\\$&')}'`;
}
