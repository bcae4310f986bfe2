# Sourced by the scripts beside it: makes the virtual environment .venv and fills it. Expects $root, the checkout.

venv=$root/.venv

say() { printf '%s\n' "$*" >&2; }

# Prints the first Python that is new enough.
find_python() {
    local candidate
    for candidate in "${PYTHON:-python3}" python3.14 python3.13 python3.12 python3.11; do
        if "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            echo "$candidate"
            return
        fi
    done
    say "Python 3.11 or newer is needed, and none was found. Debian 12 and Ubuntu 24.04 have it: apt install python3 python3-venv"
    say "If it has another name here, say so: PYTHON=/path/to/python $0"
    return 1
}

make_environment() {
    local python
    if "$venv/bin/python" -m pip --version >/dev/null 2>&1; then
        return
    fi
    python=$(find_python)
    if ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
        say "$python cannot make virtual environments: a package is missing. On Debian and Ubuntu: apt install python3-venv"
        return 1
    fi
    say "Making a virtual environment in $venv …"
    "$python" -m venv "$venv"
}

pip_install() { "$venv/bin/python" -m pip --disable-pip-version-check install --quiet "$@"; }

# Installs what the package and the named dependency groups of pyproject.toml require, unless nothing changed since the last time.
install_requirements() {
    local wanted stamp=$venv/.requirements-$1
    wanted=$("$venv/bin/python" - "$root" "$@" <<'END'
import configparser, pathlib, sys, tomllib
root = pathlib.Path(sys.argv[1])
setup = configparser.ConfigParser()
setup.read(root / "setup.cfg")
groups = tomllib.loads((root / "pyproject.toml").read_text())["dependency-groups"]
print(setup["options"]["install_requires"].strip(), *(line for name in sys.argv[2:] for line in groups[name]), sep="\n")
END
    )
    if [ "$wanted" = "$(cat "$stamp" 2>/dev/null)" ]; then
        return
    fi
    say "Installing Python packages into $venv …"
    pip_install --requirement /dev/stdin <<<"$wanted"
    printf '%s\n' "$wanted" >"$stamp"
}

# Installs the package itself, unless no file of it changed since the last time. A copy is built, so that the checkout
# stays clean and a file that was deleted there does not live on in a left-over build directory.
install_package() (
    cd "$root"
    local wanted stamp=$venv/.installed copy
    wanted=$(find mmp plugins setup.cfg pyproject.toml -name __pycache__ -prune -o -type f ! -name dropin.cache \
        -printf '%p %s %T@\n' | sort | sha256sum)
    if [ "$wanted" = "$(cat "$stamp" 2>/dev/null)" ]; then
        return
    fi
    say "Installing mmp and what it needs into $venv …"
    copy=$(mktemp -d)
    trap 'rm -rf "$copy"' EXIT
    cp -R mmp plugins setup.cfg pyproject.toml README.md LICENSE "$copy"
    pip_install "$copy"
    printf '%s\n' "$wanted" >"$stamp"
)
