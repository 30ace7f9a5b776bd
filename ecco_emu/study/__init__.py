"""What benches, sweeps and experiments share: grids, pools of processes, resumable records, statistics."""
