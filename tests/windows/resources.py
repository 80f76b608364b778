"""What stands in an executable of Windows: its subsystem and its resources, by the format of portable executables."""
import struct
from pathlib import Path

VERSION, MANIFEST = 16, 24


class Program:
    def __init__(self, file):
        self.data = Path(file).read_bytes()
        head = self.number(0x3C)
        assert self.data[head:head + 4] == b"PE\0\0", file
        sections, options = self.number(head + 6, "H"), self.number(head + 20, "H")
        optional = head + 24
        self.subsystem = self.number(optional + 68, "H")
        self.sections = [struct.unpack_from("<8x4I", self.data, optional + options + 40 * at) for at in range(sections)]
        self.base = self.number(optional + 112 + 2 * 8)

    def number(self, at, kind="I"):
        return struct.unpack_from("<" + kind, self.data, at)[0]

    def place(self, address):
        """Of an address in memory, in the file."""
        for size, start, _, file in self.sections:
            if start <= address < start + size:
                return address - start + file
        raise AssertionError(f"{address:x} is in no section")

    def entries(self, at):
        named, numbered = self.number(at + 12, "H"), self.number(at + 14, "H")
        return dict(struct.unpack_from("<II", self.data, at + 16 + 8 * entry) for entry in range(named + numbered))

    def resource(self, kind):
        """The first of a kind: three levels of directories, by kind, name and language."""
        root = self.place(self.base)
        at = root
        for wanted in (kind, None, None):
            entries = self.entries(at)
            offset = entries[wanted] if wanted is not None else next(iter(entries.values()))
            at = root + (offset & 0x7FFFFFFF)
        address, size = struct.unpack_from("<II", self.data, at)
        return self.data[self.place(address):][:size]

    def version(self):
        """The texts of VERSIONINFO by name, and its number."""
        data = self.resource(VERSION)
        fixed = data.index(struct.pack("<I", 0xFEEF04BD))
        high, low = struct.unpack_from("<II", data, fixed + 8)
        words = data.decode("utf-16-le", errors="replace")
        texts = {}
        for name in ("CompanyName", "FileDescription", "FileVersion", "LegalCopyright", "OriginalFilename", "ProductName", "ProductVersion"):
            rest = words[words.index(name + "\0") + len(name):].lstrip("\0")
            texts[name] = rest[:rest.index("\0")]
        return texts, (high >> 16, high & 0xFFFF, low >> 16, low & 0xFFFF)
