#!/usr/bin/env bash
# The steps of action.yml. Everything comes through the environment.
set -euo pipefail

mark='<!-- metricdef plan -->'

# Writes the Markdown to a file and to the job's summary, which takes no permission.
plan() {
  local file="${RUNNER_TEMP:-/tmp}/metricdef-plan.md" code=0
  local options=(--project "$PROJECT" --format markdown --quiet --fail-on "${FAIL_ON:-blocked}")
  [[ -z ${BASE:-} ]] || options+=("--base=$BASE")
  [[ -z ${PROFILE:-} ]] || options+=("--profile=$PROFILE")
  [[ -z ${SAMPLE:-} ]] || options+=("--sample=$SAMPLE")
  [[ -z ${AS_OF:-} ]] || options+=("--as-of=$AS_OF")
  if [[ ${DIFF:-} == affected ]]; then
    options+=(--diff)
  elif [[ -n ${DIFF:-} ]]; then
    read -r -a names <<<"$DIFF"
    options+=(--diff "${names[@]}")
  fi
  metricdef plan "${options[@]}" >"$file" || code=$?
  if ((code > 1)); then
    printf '%s\n### metricdef: the plan could not be made (exit code %d); the log of the job says why\n' "$mark" "$code" >"$file"
  fi
  cat "$file" >>"$GITHUB_STEP_SUMMARY"
  {
    printf 'file=%s\n' "$file"
    printf 'code=%d\n' "$code"
    printf 'blocked=%s\n' "$([[ $code == 0 ]] && echo false || echo true)"
  } >>"$GITHUB_OUTPUT"
}

# One comment, found again by its first line. Who may not write it (a fork) still has the summary.
comment() {
  local ids id
  ids=$(gh api "repos/$REPOSITORY/issues/$NUMBER/comments" --paginate \
    --jq ".[] | select(.body | startswith(\"$mark\")) | .id") || ids=
  for id in $ids; do
    if gh api "repos/$REPOSITORY/issues/comments/$id" --method PATCH --field "body=@$FILE" --silent; then
      return
    fi
  done
  gh api "repos/$REPOSITORY/issues/$NUMBER/comments" --method POST --field "body=@$FILE" --silent ||
    echo "::warning::the comment could not be written (pull-requests: write is missing?); the summary of the job has the plan"
}

verdict() {
  exit "${CODE:-2}"
}

"$1"
