#!/bin/sh
# A Chromium for the browser tests: the one that is there, else Debian's where this user may install it. Of
# its two packages the one without windows is made for this, and Ubuntu has the other alone.
for name in chromium-headless-shell chromium chromium-browser google-chrome; do
  command -v "$name" >/dev/null 2>&1 && exit 0
done
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
  echo "installing Chromium for the browser tests"
  export DEBIAN_FRONTEND=noninteractive
  install="apt-get install -y -qq --no-install-recommends"
  apt-get update -qq && { $install chromium-headless-shell >/dev/null 2>&1 || $install chromium >/dev/null; } && exit 0
fi
echo "No Chromium was found and none could be installed: the browser tests will be skipped." >&2
echo "Install the package 'chromium' (Debian, Ubuntu: sudo apt-get install chromium)." >&2
