"""Pictures made of images: functions that take plain data, arrays and images, and return a matplotlib `Figure`.

==============================================  ==============================================================
`ranked_lists.ranked_lists`                     the first gallery images of some queries, true and false ones
`embedding.embedding_map`                       points in the plane (`embedding.tsne`) by modality and by identity
`distances.distance_histograms`                 distances of same and different identities
`cmc.cmc_figure`                                the CMC curve of an evaluation
`saliency.saliency_pairs`                       where two images agree (`vibench.visualize.grad_cam`), or a transformer
                                                looks (`vibench.visualize.attention_rollout`)
`panels.panel_grid`                             rows of images under heat maps: what most of the others are made of
==============================================  ==============================================================

They know neither methods nor torch. `vibench.visualize` draws a trained model with them, and single methods draw what
only they have (`vibench.methods.pictures`). A notebook shows a figure by its name, `figure.write_figure` writes it.
"""
