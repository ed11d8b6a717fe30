"""Flow control: requests wait in bands and flows while the pool is full. A pure core, and its asyncio shell."""
