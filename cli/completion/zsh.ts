import { type OptionWords, quoted, type Values, type Words } from './words.ts';

/** The completion script for zsh, with what each word is for. */
export function zshScript({ groups, verbs, everywhere }: Words): string {
  const alone = verbs.filter(({ name }) => !name.includes(' '));
  return `#compdef zdd-agent
# Completion of zdd-agent for zsh. Made by: zdd-agent completion zsh

_zdd-agent() {
  local verb= place=0 word
  local -a found
  integer i=2

  # Which verb stands before the cursor, and how many words after it.
  while (( i < CURRENT )); do
    word=\${(Q)words[i]}
    i+=1
    case $word in
      -*) if _zdd-agent-value "$verb" "$word" off; then i+=1; fi ;;
      *)
        if [[ -z $verb ]]; then verb=$word
        elif [[ $verb == (${groups.map(({ name }) => name).join('|')}) ]]; then verb="$verb $word"
        else place=$((place + 1))
        fi ;;
    esac
  done

  # The value of an option.
  if [[ \${words[CURRENT-1]} == -* ]] && _zdd-agent-value "$verb" "\${words[CURRENT-1]}" on; then
    return
  fi

  if [[ \${words[CURRENT]} == -* ]]; then
    found=(${described(everywhere)})
    case $verb in
${verbs
  .flatMap(({ name, options }) =>
    options.length === 0 ? [] : [`      ${quoted(name)}) found+=(${described(options)}) ;;`],
  )
  .join('\n')}
    esac
    _describe -o option found
    return
  fi

  case $verb in
    '')
      found=(${alone.map(pair).join(' ')} ${groups.map(pair).join(' ')})
      _describe verb found ;;
${groups
  .map(({ name }) => {
    const below = verbs
      .filter((verb) => verb.name.startsWith(`${name} `))
      .map((verb) => ({ ...verb, name: verb.name.slice(name.length + 1) }));
    return `    ${name})\n      found=(${below.map(pair).join(' ')})\n      _describe verb found ;;`;
  })
  .join('\n')}
  esac
  case "$verb:$place" in
${verbs
  .flatMap(({ name, args }) =>
    args.flatMap((values, index) => {
      const code = codeOf(values);
      return code === null ? [] : [`    ${quoted(`${name}:${index}`)}) ${code} ;;`];
    }),
  )
  .join('\n')}
  esac
}

# Whether this option of this verb takes the next word; with "on" completes it as well.
_zdd-agent-value() {
  case "$1:$2" in
${everywhere.flatMap((option) => valueArms('*', option)).join('\n')}
${verbs.flatMap(({ name, options }) => options.flatMap((option) => valueArms(name, option))).join('\n')}
    *) return 1 ;;
  esac
  return 0
}

# What only the agent or zdd.yaml knows. Silent and quick, whatever happens.
_zdd-agent-ask() {
  local -a found
  found=(\${(f)"$(zdd-agent complete $1 2>/dev/null)"})
  # What ends so is to be gone on with.
  if [[ \${found[1]} == *= ]]; then compadd -S '' -a found; else compadd -a found; fi
}

# Read by compinit it is called at once; sourced it announces itself.
if [[ \${funcstack[1]} == _zdd-agent ]]; then _zdd-agent "$@"; else compdef _zdd-agent zdd-agent; fi
`;
}

function described(options: readonly OptionWords[]): string {
  return options
    .flatMap(({ names, summary }) => names.map((name) => pair({ name, summary })))
    .join(' ');
}

/** `_describe` takes `word:what it is for`. */
function pair({ name, summary }: { readonly name: string; readonly summary: string }): string {
  return quoted(`${name.replaceAll(':', '\\:')}:${summary}`);
}

function valueArms(verb: string, { names, value }: OptionWords): string[] {
  if (value === null) return [];
  const code = codeOf(value);
  const then = code === null ? '' : `[[ $3 == on ]] && ${code} `;
  return names.map((name) => {
    const pattern = verb === '*' ? `*:${name}` : quoted(`${verb}:${name}`);
    return `    ${pattern}) ${then};;`;
  });
}

function codeOf(values: Values): string | null {
  switch (values.kind) {
    case 'none':
      return null;
    case 'files':
      return '_files';
    case 'words':
      return `compadd ${values.words.join(' ')}`;
    case 'asked':
      return `_zdd-agent-ask ${values.what}`;
  }
}
