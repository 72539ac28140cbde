"""Experiments on s3://, gs:// and whatever else pyarrow.fs knows: the journal is written on the driver's machine and
snapshots of it go up; checkpoints and output go from workers straight to storage."""
