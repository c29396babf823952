found=0
git ls-remote --exit-code origin "refs/heads/$STATE_BRANCH" > /dev/null || found=$?
if [ "$found" -eq 0 ]; then
  git fetch --quiet --no-tags --depth=1 origin "+refs/heads/$STATE_BRANCH:refs/keepfit/state"
  parts="$(mktemp -d)"
  git archive refs/keepfit/state | tar -x -C "$parts"
  cat "$parts"/part-* | tar -xz -C "$PROJECT"
  rm -rf "$parts"
  git checkout --quiet HEAD -- "$PROJECT/.dvc" 2> /dev/null || true  # where DVC's settings are in git, those hold
  echo "commit=$(git rev-parse refs/keepfit/state)" >> "$GITHUB_OUTPUT"
elif [ "$found" -eq 2 ]; then
  echo "There is no branch $STATE_BRANCH yet: this is the first run."
  echo "commit=" >> "$GITHUB_OUTPUT"
else
  echo "::error::The repository does not say whether there is a branch $STATE_BRANCH. Nothing was run."
  exit 1
fi
