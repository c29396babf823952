parts="$(mktemp -d)"
while IFS= read -r path; do
  if [ -n "$path" ] && [ -e "$PROJECT/$path" ]; then printf '%s\0' "$path"; fi
done <<< "$STATE_PATHS" > "$parts.list"
tar -C "$PROJECT" --exclude=.keepfit/tmp --exclude=.keepfit/serving --null --files-from="$parts.list" -cz | split -b 50m - "$parts/part-"
export GIT_INDEX_FILE="$parts.index" GIT_AUTHOR_NAME=keepfit GIT_AUTHOR_EMAIL=keepfit@localhost
export GIT_COMMITTER_NAME=keepfit GIT_COMMITTER_EMAIL=keepfit@localhost
git -C "$parts" --git-dir="$(git rev-parse --absolute-git-dir)" --work-tree="$parts" add --all --force .
commit="$(git commit-tree "$(git write-tree)" -m "State of run $GITHUB_RUN_ID")"
rm -rf "$parts" "$parts.list" "$parts.index"
git push --quiet --force-with-lease="refs/heads/$STATE_BRANCH:$BEFORE" origin "$commit:refs/heads/$STATE_BRANCH"
echo "commit=$commit" >> "$GITHUB_OUTPUT"
