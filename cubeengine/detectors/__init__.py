"""Per-event operations on detector frames: calibration, thresholds, masks, regions, projections, images.

A stage is one module: its options as they stand in a spec, and what they become for frames of one shape.
`registry` knows them by name.
"""
