#!/usr/bin/env python3
# generate.py - makes C of protocol.def: structs, the tables that the codec walks, the table of procedures
# SPDX-License-Identifier: GPL-2.0-or-later
"""usage: generate.py protocol.def header|codec|procedures"""
import re
import sys

# type in protocol.def: C type, kind in xdr.h
PLAIN = {
    "i32": ("s32", "I32"), "u32": ("u32", "U32"), "i64": ("s64", "I64"), "u64": ("u64", "U64"), "i8": ("s32", "I32"),
    "u8": ("u32", "U32"), "u16": ("u32", "U32"), "f64": ("double", "F64"), "string": ("char *", "STRING"),
    "string?": ("char *", "STRING_OR_NULL"),
}


class Field:
    def __init__(self, text):
        self.type, self.name = re.fullmatch(r"(\S+) (\w+)", text).groups()
        base, self.limit, self.form = self.type, 0, "ONE"
        if base not in PLAIN:
            match = re.fullmatch(r"(\w+)(?:\[(\d+)\]|<(\d+)>|(\?))?", base)
            base, many, most, optional = match.groups()
            self.limit = int(many or most or 0)
            self.form = "MANY" if many else "OPTIONAL" if optional else "ONE"
        self.base = base

    def struct(self):
        """The name of the struct that this field is made of, if it is made of one."""
        return self.base if self.base not in PLAIN and self.base not in ("uuid", "bytes", "chars") else None

    def declaration(self):
        if self.base == "uuid":
            return "u8 %s[16];" % self.name
        if self.base == "chars":
            return "char %s[%d];" % (self.name, self.limit)
        if self.base == "bytes":
            return "u8 *%s; u32 %s_count;" % (self.name, self.name)
        ctype = PLAIN[self.base][0] if self.base in PLAIN else "struct remote_" + self.base
        ctype += "" if ctype.endswith("*") else " "
        if self.form == "MANY":
            return "%s*%s; u32 %s_count;" % (ctype, self.name, self.name)
        return "%s%s%s;" % (ctype, "*" if self.form == "OPTIONAL" else "", self.name)

    def row(self, owner):
        if self.base in ("uuid", "bytes", "chars"):
            kind, form = self.base.upper(), "ONE"
        else:
            kind, form = (PLAIN[self.base][1] if self.base in PLAIN else "STRUCT"), self.form
        counted = kind == "BYTES" or form == "MANY"
        return "{XDR_%s, XDR_%s, %d, offsetof(struct remote_%s, %s), %s, %s}" % (
            kind, form, self.limit, owner, self.name,
            "offsetof(struct remote_%s, %s_count)" % (owner, self.name) if counted else "0",
            "&xdr_remote_" + self.struct() if self.struct() else "NULL")


class Procedure:
    def __init__(self, program, kind, number, access, name, args, ret):
        self.program, self.kind, self.number, self.access, self.name = program, kind, int(number), access, name
        self.args, self.ret = fields(args), fields(ret or "")


def fields(text):
    return [Field(f) for f in text.split(", ") if f]


class Protocol:
    def __init__(self, path):
        self.structs, self.procedures, self.programs, self.lacks = {}, [], {}, {}
        program = None
        with open(path) as file:
            for line in file:
                line = line.split("#")[0].strip()
                if match := re.fullmatch(r"program (\w+) (\w+)", line):
                    program = match[1]
                    self.programs[program] = int(match[2], 0)
                elif match := re.fullmatch(r"struct (\w+) \((.*)\)", line):
                    self.structs[match[1]] = fields(match[2])
                elif match := re.fullmatch(r"(call|empty) (\d+) (any|read|write) (\w+) \((.*?)\)(?: -> \((.*)\))?", line):
                    self.procedures.append(Procedure(program, *match.groups()))
                elif match := re.fullmatch(r"lacks (\d+) (\w+)", line):
                    self.lacks.setdefault(program, []).append(match.groups())
                elif match := re.fullmatch(r"event (\d+) (\w+) \((.*)\)", line):
                    self.procedures.append(Procedure(program, "event", match[1], "read", match[2], match[3], ""))
                elif line:
                    sys.exit("%s: cannot read this line: %s" % (path, line))

    def calls(self):
        return [p for p in self.procedures if p.kind != "event"]

    def all_structs(self):
        """Name and fields of each struct that C gets, those that others are made of first."""
        for name, members in self.structs.items():
            yield name, members
        for p in self.procedures:
            if p.kind == "event":
                yield p.name + "_msg", p.args
                continue
            if p.args:
                yield p.name + "_args", p.args
            if p.ret:
                yield p.name + "_ret", p.ret


def header(protocol):
    print("/* protocol.h - made from protocol.def: what goes over the wire */\n#pragma once\n")
    print('#include "manager/rpc/xdr.h"\n')
    for name, number in protocol.programs.items():
        print("enum { PROGRAM_%s = 0x%x };" % (name.upper(), number))
    print("enum {")
    for p in protocol.procedures:
        print("    PROC_%s = %d," % (p.name.upper(), p.number))
    print("};\n")
    for name, members in protocol.all_structs():
        print("struct remote_%s {\n    %s\n};" % (name, "\n    ".join(f.declaration() for f in members)))
        print("extern const struct xdr_struct xdr_remote_%s;\n" % name)


def codec(protocol):
    print('/* protocol.c - made from protocol.def */\n#include "manager/rpc/protocol.h"\n')
    for name, members in protocol.all_structs():
        print("static const struct xdr_field remote_%s_fields[] = {" % name)
        for f in members:
            print("    %s," % f.row(name))
        print("};\nconst struct xdr_struct xdr_remote_%s = {remote_%s_fields, %d, sizeof(struct remote_%s)};\n"
              % (name, name, len(members), name))


def procedures(protocol):
    print('/* procedures.c - made from protocol.def */\n#include "manager/rpc/procedure.h"\n')
    print("static int call_empty(struct call *call, const void *args, void *ret)")
    print("{\n    (void)call;\n    (void)args;\n    (void)ret; /* zeroed */\n    return 0;\n}\n")
    for p in protocol.calls():
        if p.kind == "empty":
            continue
        args, ret = "struct remote_%s_args *" % p.name, "struct remote_%s_ret *" % p.name
        print("int handle_%s(struct call *call%s%s);" % (p.name, ", const %sargs" % args if p.args else "",
                                                        ", %sret" % ret if p.ret else ""))
        print("static int call_%s(struct call *call, const void *args, void *ret)\n{" % p.name)
        for given, what in ((p.args, "args"), (p.ret, "ret")):
            if not given:
                print("    (void)%s;" % what)
        print("    return handle_%s(call%s%s);\n}\n" % (p.name, ", args" if p.args else "", ", ret" if p.ret else ""))
    for program, number in protocol.programs.items():
        for p in protocol.calls():
            if p.program == program:
                print("static const struct procedure %s_%s = {\"%s\", ACCESS_%s, %s, %s, call_%s};" % (
                    program, p.name, p.name, p.access.upper(), "&xdr_remote_%s_args" % p.name if p.args else "NULL",
                    "&xdr_remote_%s_ret" % p.name if p.ret else "NULL", "empty" if p.kind == "empty" else p.name))
        print("static const struct procedure *const %s_procedures[] = {" % program)
        for p in protocol.calls():
            if p.program == program:
                print("    [%d] = &%s_%s," % (p.number, program, p.name))
        print("};\nstatic const char *const %s_lacks[] = {" % program)
        for row in protocol.lacks.get(program, [("0", "")]):
            print("    [%s] = \"%s\"," % row)
        print("};\n")
    print("const struct program programs[] = {")
    for program in protocol.programs:
        tables = ["%s_%s, sizeof(%s_%s) / sizeof(*%s_%s)" % ((program, table) * 3) for table in ("procedures", "lacks")]
        print("    {PROGRAM_%s, %s}," % (program.upper(), ", ".join(tables)))
    print("};\nconst unsigned program_count = %d;" % len(protocol.programs))


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    {"header": header, "codec": codec, "procedures": procedures}[sys.argv[2]](Protocol(sys.argv[1]))
