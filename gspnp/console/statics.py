"""Static files under names that hold their content's hash, so that a browser never asks for one twice."""

from __future__ import annotations

from whitenoise.storage import CompressedManifestStaticFilesStorage


class HashedFiles(CompressedManifestStaticFilesStorage):
    """Also inside our scripts, which import each other. What was not collected (in tests) keeps its plain name."""

    support_js_module_import_aggregation = True
    manifest_strict = False

    def hashed_name(self, name, content=None, filename=None):
        """The name with its hash; the plain one if there is no such collected file."""
        try:
            return super().hashed_name(name, content, filename)
        except ValueError:
            if content is not None:
                raise
            return name
