"""Training of language models on the bytes of a text file: causal (`PerceiverAR`) and masked (`PerceiverLM`)."""
