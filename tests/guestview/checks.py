# checks.py - what a Debian computes: runs inside a guest, and natively in a chroot for the reference
# SPDX-License-Identifier: GPL-2.0-or-later
#
# Prints `check NAME STATUS SECONDS DIGEST` for each check. STATUS 0 is good by the program's own judgement; DIGEST is
# of everything that has to be the same on each machine, or `-`.
import argparse
import ctypes
import fnmatch
import hashlib
import os
import random
import re
import subprocess
import sys
import tempfile
import time

STRESSORS = """cpu vecmath vecwide vecfp vecshuf fp matrix matrix-3d sparsematrix vm memcpy memthrash str wcs qsort heapsort
    mergesort radixsort shellsort bsearch hsearch lsearch tsearch tree hash crypt zlib judy futex pipe mmap mremap mprotect
    malloc cache l1cache icache atomic branch funccall goto longjmp far-branch sigfpe sigsegv sigtrap rdrand tsc x86cpuid
    x86syscall vdso bad-altstack fork switch""".split()
MODULES = """int long float math cmath complex decimal fractions struct hashlib re json zlib random statistics array bigmem
    numeric_tower strtod bytes bz2 lzma binascii bisect heapq sort unicode set dict ctypes""".split()
DIGESTS = """md5 sha1 sha224 sha256 sha384 sha512 sha512-256 sha3-224 sha3-256 sha3-512 shake256 blake2b512 blake2s256 sm3
    rmd160""".split()
CIPHERS = """aes-128-cbc aes-192-cbc aes-256-cbc aes-128-ctr aes-256-ctr aes-128-ecb aes-256-ofb aes-128-cfb aes-128-cfb8
    chacha20 camellia-256-cbc aria-128-ctr sm4-ctr des-ede3-cbc""".split()
SEALS = ["aes-128-gcm", "aes-192-gcm", "aes-256-gcm", "chacha20-poly1305", "aes-128-ocb", "aria-256-gcm"]
KEY, IV = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f", "f0f1f2f3f4f5f6f7f8f9fafbfcfdfeff"

DATA = random.Random(1).randbytes(3_000_017)
TEXT = "".join("%d %s %x\n" % (i, "lorem ipsum dolor"[i % 13:], i * i) for i in range(120_000)).encode()


class Failed(Exception):
    pass


def run(*argv, stdin=b"", limit=1800, cwd="/tmp"):
    p = subprocess.run(argv, input=stdin, capture_output=True, timeout=limit, cwd=cwd)
    if p.returncode:
        said = (p.stdout + p.stderr)[-2500:].decode("utf-8", "replace")
        raise Failed("%s: status %d\n%s" % (" ".join(argv), p.returncode, said))
    return p.stdout


def must(good, what):
    if not good:
        raise Failed(what)


def stress(name, seconds):
    return lambda: run("stress-ng", "--verify", "--%s" % name, "1", "-t", "%ds" % seconds, "--vm-bytes", "128M",
                       "--temp-path", "/tmp", "--oomable", limit=60 + 20 * seconds) and None


def module(name):
    return lambda: run(sys.executable, "-m", "test", "-v", "test_" + name) and None


def digest(name):
    return lambda: run("openssl", "dgst", "-r", "-" + name, stdin=DATA)


def cipher(name):
    def act():
        words = ["openssl", "enc", "-" + name, "-K", KEY[:key_length(name)]]
        words += [] if "ecb" in name else ["-iv", IV[:16 if "des" in name else 32]]
        sealed = run(*words, stdin=DATA)
        must(run(*words, "-d", stdin=sealed) == DATA, "decrypted is not what was encrypted")
        return sealed
    return act


def key_length(name):
    bits = re.search("128|192|256", name)
    return int(bits[0]) // 4 if bits else {"chacha20": 64, "sm4-ctr": 32, "des-ede3-cbc": 48}[name]


def seal(name):
    """Authenticated encryption, which the command line does not offer: libcrypto's own functions."""
    def act():
        crypto = ctypes.CDLL("libcrypto.so.3")
        for f in ("EVP_CIPHER_CTX_new", "EVP_get_cipherbyname"):
            getattr(crypto, f).restype = ctypes.c_void_p
        out, n, result = ctypes.create_string_buffer(len(DATA) + 64), ctypes.c_int(), b""
        for length in (0, 1, 15, 16, 17, 63, 64, 255, 256, 257, 767, 768, 769, 4097, 65537, len(DATA)):
            context = ctypes.c_void_p(crypto.EVP_CIPHER_CTX_new())
            algorithm = ctypes.c_void_p(crypto.EVP_get_cipherbyname(name.encode()))
            must(crypto.EVP_EncryptInit_ex(context, algorithm, None, bytes.fromhex(KEY), bytes.fromhex(IV)) == 1, "init")
            must(crypto.EVP_EncryptUpdate(context, None, ctypes.byref(n), DATA, length % 511) == 1, "associated data")
            must(crypto.EVP_EncryptUpdate(context, out, ctypes.byref(n), DATA, length) == 1, "update")
            done = n.value
            must(crypto.EVP_EncryptFinal_ex(context, ctypes.byref(out, done), ctypes.byref(n)) == 1, "final")
            result += hashlib.sha256(out.raw[:done + n.value]).digest()
            must(crypto.EVP_CIPHER_CTX_ctrl(context, 0x10, 16, out) == 1, "tag")
            result += out.raw[:16]
            crypto.EVP_CIPHER_CTX_free(context)
        return result
    return act


def signatures(*make):
    """A new key signs and verifies, and does not verify what was not signed."""
    def act():
        with tempfile.TemporaryDirectory() as folder:
            key, public, data, signature = (os.path.join(folder, f) for f in ("key", "public", "data", "signature"))
            for i in range(5):
                run("openssl", "genpkey", *make, "-out", key)
                run("openssl", "pkey", "-in", key, "-check")
                run("openssl", "pkey", "-in", key, "-pubout", "-out", public)
                write(data, hashlib.sha256(b"%d" % i).digest())
                sign = ["openssl", "pkeyutl", "-in", data] + (["-rawin"] if "ed" in make[1] else [])
                run(*sign, "-sign", "-inkey", key, "-out", signature)
                run(*sign, "-verify", "-pubin", "-inkey", public, "-sigfile", signature)
                write(data, bytes(32))
                bad = subprocess.run([*sign, "-verify", "-pubin", "-inkey", public, "-sigfile", signature], capture_output=True)
                must(bad.returncode, "the signature of something else verifies")
    return act


def write(path, data):
    with open(path, "wb") as f:
        f.write(data)


def c_source():
    """A few thousand lines of C: integers, floating point, loops, switches; always the same."""
    r = random.Random(2)
    names = ["a", "b", "c", "d"]
    lines = ["#include <stdio.h>", "#include <stdint.h>", "#include <math.h>", "#include <string.h>"]
    for i in range(400):
        lines += ["static uint64_t f%d(uint64_t a, uint64_t b, double c, float d)" % i, "{",
                  "\tuint64_t t[%d];" % r.randint(4, 40), "\tfor (unsigned i = 0; i < sizeof t / 8; i++) {"]
        for _ in range(r.randint(3, 9)):
            lines.append("\t\tt[i] = (a %s %du) ^ (b %s %d); a += t[i] * %d; b ^= a >> %d;" % (
                r.choice("+-*|"), r.getrandbits(31), r.choice(["<<", ">>"]), r.randint(0, 63), r.getrandbits(20), r.randint(1, 60)))
        lines.append("\t\tc = c * %r + (double)(int32_t)a; d = d / %rf - (float)c;" % (r.random(), 1 + r.random()))
        lines += ["\t}", "\tswitch ((a ^ b) %% %d) {" % r.randint(3, 17)]
        for case in range(r.randint(2, 6)):
            lines.append("\tcase %d: a = a / (b | 1) + t[%d]; c = fabs(c) * %r; break;" % (case, case % 4, r.random()))
        lines += ["\t}", "\tif (c != c || c > 1e9 || c < -1e9) c = %d; if (!(fabsf(d) < 1e9f)) d = 1;" % r.randint(1, 9)]
        if i:
            lines.append("\tif (a & 1) a += f%d(b, a >> 3, c, d);" % r.randrange(max(0, i - 9), i))
        lines += ["\treturn a + b * 3 + (int64_t)c + (int64_t)d + t[1];", "}"]
    lines += ["int main(void)", "{", "\tuint64_t x = 1;"]
    lines += ["\tprintf(\"%%llx\\n\", (unsigned long long)(x = f%d(x, %d, %r, 2)));" % (i, i, r.random()) for i in range(400)]
    return "\n".join(lines + ["}", ""])


def compiler(*flags):
    """Always in the same folder: an object file names it."""
    def act():
        folder = "/tmp/gcc"
        os.makedirs(folder, exist_ok=True)
        write(folder + "/big.c", c_source().encode())
        run("gcc", *flags, "-c", "big.c", "-o", "big.o", cwd=folder)
        run("gcc", "big.o", "-o", "big", cwd=folder)
        with open(folder + "/big.o", "rb") as f:
            return f.read() + run(folder + "/big")
    return act


def round_trip(*words):
    def act():
        result = b""
        for data in (DATA, TEXT):
            packed = run(*words, "-c", stdin=data)
            must(run(words[0], "-d", "-c", stdin=packed) == data, "unpacked is not what was packed")
            result += packed
        return result
    return act


PERL = r"""
use strict; use Digest::SHA qw(sha256_hex); use Math::BigInt; use Math::BigFloat;
local $/; my $t = <STDIN>; my @out;
push @out, scalar(() = $t =~ /\b(\d+)\s+(\w+) ?(\w*)/g);
push @out, scalar(() = $t =~ /(?<n>\d{3,})(?=.*?\k<n>)/g);
(my $u = $t) =~ s/(\d+) ([a-z ]+) ([0-9a-f]+)/sprintf "%s:%d:%s", uc $2, $1 * 7 % 1013, scalar reverse $3/ge;
push @out, sha256_hex($u);
($u = $t) =~ tr/a-z0-9/n-za-m5-90-4/; push @out, sha256_hex($u);
push @out, sha256_hex(join "\n", sort { $a cmp $b } split /\n/, $t);
my %h; $h{$_}++ for $t =~ /([a-z]+)/g; push @out, map { "$_=$h{$_}" } sort keys %h;
push @out, join ",", map { my $s = "x" x $_; $s =~ /^(xx+?)\1+$/ ? () : $_ } 2 .. 400;
push @out, "((a)(b(c))d)" =~ /^(\((?:[^()]++|(?1))*\))$/ ? $1 : "no";
push @out, Math::BigInt->new(3)->bpow(2000)->bstr, Math::BigFloat->bpi(300)->bstr;
push @out, map { sprintf "%.17g", sin($_) * exp($_ / 7) / sqrt($_ + 1) } 1 .. 2000;
print join("\n", @out), "\n";
"""


def speed(name):
    return lambda: run("openssl", "speed", "-seconds", "1", *(["-evp"] if name[0] in "acs" else []), name) and None


def kernel_log():
    log = run("dmesg").decode("utf-8", "replace")
    bad = [line for line in log.splitlines() if re.search(r"WARNING: CPU|BUG|Oops|unchecked MSR|rcu.*stall|lockup|Call Trace|[0-9] \[#", line)]
    must(not bad, "\n".join(bad[:20]))


def all_checks(seconds):
    checks = [("openssl/" + n, digest(n)) for n in DIGESTS] + [("openssl/" + n, cipher(n)) for n in CIPHERS]
    checks += [("openssl/" + n, seal(n)) for n in SEALS]
    checks += [("openssl/rsa", signatures("-algorithm", "rsa")), ("openssl/ed25519", signatures("-algorithm", "ed25519")),
               ("openssl/p-256", signatures("-algorithm", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"))]
    checks += [("speed/" + n, speed(n)) for n in ("aes-256-gcm", "sha512", "chacha20-poly1305", "rsa2048", "ecdsap256")]
    checks += [("gcc" + "".join(f), compiler(*f)) for f in (("-O2",), ("-O3", "-march=x86-64-v2"), ("-O0", "-g"))]
    checks += [("perl/regexps", lambda: run("perl", "-e", PERL, stdin=TEXT))]
    checks += [("pack/" + "".join(w), round_trip(*w)) for w in (("xz", "-6"), ("xz", "-1", "-Csha256"), ("zstd", "-3", "-q"),
                                                               ("zstd", "-15", "-q"), ("gzip", "-9n"))]
    checks += [("python/" + n, module(n)) for n in MODULES] + [("stress-ng/" + n, stress(n, seconds)) for n in STRESSORS]
    return checks + [("kernel-log", kernel_log)]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=int, default=3, help="each of stress-ng's")
    parser.add_argument("--reference", action="store_true", help="only what has an answer to compare, or a test suite")
    parser.add_argument("names", nargs="*", default=["*"], help="patterns")
    options = parser.parse_args()
    for name, act in all_checks(options.seconds):
        if not any(fnmatch.fnmatch(name, pattern) for pattern in options.names):
            continue
        if options.reference and name.startswith(("stress-ng", "speed", "kernel-log")):
            continue
        start, status, value = time.monotonic(), 0, None
        try:
            value = act()
        except (Failed, subprocess.TimeoutExpired, OSError) as error:
            status = 1
            print(error)
        print("check %s %d %.2f %s" % (name, status, time.monotonic() - start,
                                       hashlib.sha256(value).hexdigest() if value else "-"), flush=True)
    print("checks done", flush=True)


main()
