"""The results folder is the truth: one Parquet file per finished trial, and tables derived from them."""
