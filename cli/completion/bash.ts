import { type OptionWords, quoted, type Values, type VerbWords, type Words } from './words.ts';

/** The completion script for bash, 3.2 (macOS) and newer. */
export function bashScript({ groups, verbs, everywhere }: Words): string {
  const top = [...new Set(verbs.map(({ name }) => name.split(' ')[0] ?? name))];
  return `# Completion of zdd-agent for bash. Made by: zdd-agent completion bash

_zdd_agent() {
  local cur=\${COMP_WORDS[COMP_CWORD]} prev=\${COMP_WORDS[COMP_CWORD-1]}
  local verb= place=0 i=1 word
  COMPREPLY=()

  # Which verb stands before the cursor, and how many words after it.
  while [ "$i" -lt "$COMP_CWORD" ]; do
    word=\${COMP_WORDS[i]}
    i=$((i + 1))
    case $word in
      # Bash takes --wait=10m for three words.
      =) i=$((i + 1)) ;;
      -*) if _zdd_agent_value "$verb" "$word" off; then i=$((i + 1)); fi ;;
      *)
        if [ -z "$verb" ]; then verb=$word
        elif case $verb in ${patterns(groups.map(({ name }) => name))}) true ;; *) false ;; esac; then verb="$verb $word"
        else place=$((place + 1))
        fi ;;
    esac
  done

  if [ "$cur" = = ] || [ "$prev" = = ]; then return; fi

  # The value of an option.
  case $prev in -*) if _zdd_agent_value "$verb" "$prev" on; then return; fi ;; esac

  case $cur in
    -*) _zdd_agent_words ${quoted(namesOf(everywhere))}
      case $verb in
${arms(verbs, ({ options }) => (options.length === 0 ? null : `_zdd_agent_words ${quoted(namesOf(options))}`))}
      esac
      return ;;
  esac

  case $verb in
    '') _zdd_agent_words ${quoted(top.join(' '))} ;;
${groups
  .map(({ name }) => {
    const below = verbs.filter((verb) => verb.name.startsWith(`${name} `));
    const words = below.map((verb) => verb.name.slice(name.length + 1)).join(' ');
    return `    ${name}) _zdd_agent_words ${quoted(words)} ;;`;
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
_zdd_agent_value() {
  case "$1:$2" in
${everywhere.flatMap((option) => valueArms('*', option)).join('\n')}
${verbs.flatMap(({ name, options }) => options.flatMap((option) => valueArms(name, option))).join('\n')}
    *) return 1 ;;
  esac
  return 0
}

_zdd_agent_words() {
  local word
  for word in $1; do
    case $word in "$cur"*) COMPREPLY+=("$word") ;; esac
  done
}

# What only the agent or zdd.yaml knows. Silent and quick, whatever happens.
_zdd_agent_ask() {
  local word
  while IFS= read -r word; do
    case $word in "$cur"*) COMPREPLY+=("$word") ;; esac
    # What ends so is to be gone on with.
    case $word in *=) compopt -o nospace 2>/dev/null ;; esac
  done < <(zdd-agent complete "$1" 2>/dev/null)
}

_zdd_agent_files() {
  local IFS=$'\\n'
  # Bash 3.2 lacks it, and only loses the slash after folders by that.
  compopt -o filenames 2>/dev/null
  COMPREPLY=($(compgen -f -- "$cur"))
}

complete -F _zdd_agent zdd-agent
`;
}

function patterns(names: readonly string[]): string {
  return names.join('|');
}

function namesOf(options: readonly OptionWords[]): string {
  return options.flatMap(({ names }) => names.filter((name) => name.startsWith('--'))).join(' ');
}

function arms(verbs: readonly VerbWords[], codeFor: (verb: VerbWords) => string | null): string {
  return verbs
    .flatMap((verb) => {
      const code = codeFor(verb);
      return code === null ? [] : [`        ${quoted(verb.name)}) ${code} ;;`];
    })
    .join('\n');
}

function valueArms(verb: string, { names, value }: OptionWords): string[] {
  if (value === null) return [];
  const code = codeOf(value);
  const then = code === null ? '' : `[ "$3" = on ] && ${code} `;
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
      return '_zdd_agent_files';
    case 'words':
      return `_zdd_agent_words ${quoted(values.words.join(' '))}`;
    case 'asked':
      return `_zdd_agent_ask ${values.what}`;
  }
}
