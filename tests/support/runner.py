"""How tests are chosen by words, played, shown and counted."""
import threading
import time
import traceback


def named(sentence, words):
    return any(word.lower() in sentence.lower() for word in words)


class Results:
    """Of tests that may be played at once."""

    def __init__(self):
        self.lock = threading.Lock()
        self.played, self.failed = 0, []

    def play(self, sentence, run):
        """`run` gets a list for its notes, which are for whoever reads the result."""
        notes, why, begun = [], None, time.monotonic()
        try:
            run(notes)
        except Exception:   # whatever it is, the others still run
            why = traceback.format_exc().strip()
        took = time.monotonic() - begun
        with self.lock:
            self.played += 1
            if why:
                self.failed.append(sentence)
            print(f"{'FAIL' if why else 'ok  '} {took:7.2f} s  {sentence}", flush=True)
            for text in notes + [why] * bool(why):
                print("      " + text.replace("\n", "\n      "), flush=True)

    def end(self, skipped=None):
        """Counts them on the last line; the exit code. That there was nothing to play is a failure, too."""
        more = "" if skipped is None else f", {skipped} skipped"
        print(f"{self.played - len(self.failed)} passed, {len(self.failed)} failed{more}", flush=True)
        return 0 if not self.failed and (self.played or skipped) else 1
