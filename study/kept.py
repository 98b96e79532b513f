"""kept.py: what a study has measured, a line of JSON for each row, so that a study that was stopped goes on where it was."""
import json


class Kept:
    def __init__(self, path):
        self.path, self.rows = path, []
        if path.exists():
            with open(path) as file:
                self.rows = [json.loads(line) for line in file]

    def row(self, name, measure):
        """The row that has all of the dictionary `name`; else name and what measure() returns, which is kept."""
        for row in self.rows:
            if {key: row.get(key) for key in name} == name:
                return row
        row = {**name, **measure()}
        self.rows.append(row)
        with open(self.path, "a") as file:
            file.write(json.dumps(row) + "\n")
        return row
