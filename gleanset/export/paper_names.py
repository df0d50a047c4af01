"""Names of the papers that lie beside the images of a dataset."""

ATTRIBUTION = "ATTRIBUTION.md"
CARD = "README.md"
CROISSANT = "croissant.json"
MANIFEST = "MANIFEST.sha256"
ORIGIN = "dataset.json"
SHEET = "contact-sheet.jpg"
TABLE = "metadata.jsonl"
