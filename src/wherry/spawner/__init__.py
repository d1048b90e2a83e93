"""spawner"""
