"""What a release is made of, for `.github/workflows/release.yml` and ``make release-check`` alike."""
