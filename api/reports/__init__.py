"""Reports for legal review: gathers what `audit.reports` sets, signs and bundles."""
