"""Ways in which a library of this kind gives a wrong number without an error, or does work that nobody needs.

Each has the tests that fail where it is so; ``test_pitfalls.py`` checks that they are there. What concerns parts that
do not exist yet stands in ``LATER`` with the module that will bring it.
"""

CONTRACT, ATTR, CORE, LAYERS, RULES = (
    f"tests/{part}/test_" for part in ("contract", "attr", "core", "layers", "rules")
)
LRP, ROBUST, METRICS, PLOTS, IDS = (
    f"tests/{part}/test_" for part in ("rules/lrp", "robust", "metrics", "visualization", "embeddings")
)

RULE_BASED = {
    "activations outside of a table of types": (
        f"{RULES}activations.py::test_activations_outside_of_any_table",
        f"{RULES}activations.py::test_a_subclass_is_what_it_computes",
        f"{RULES}forms.py::test_forms_agree",
        "tests/zoo/test_deep_lift.py::test_complete_in_float64",
    ),
    "functional calls": (f"{CONTRACT}form.py::test_form", f"{RULES}forms.py::test_forms_agree"),
    "gates, norms, softmax, attention": (
        f"{RULES}completeness.py::test_complete",
        f"{RULES}attention.py::test_attention_is_its_expansion",
        "tests/zoo/test_deep_lift.py::test_complete_in_float64",
    ),
    "recurrent layers": (f"{RULES}recurrent.py::test_closed_form_equals_unrolled",),
    "a rectifier right before max-pooling": (
        f"{RULES}activations.py::test_a_rectifier_right_before_max_pooling",
        f"{RULES}rescale_rules.py::test_max_pool_mixes_the_two_selections",
    ),
    "max-pooling by the first example": (
        f"{RULES}activations.py::test_a_rectifier_right_before_max_pooling",
        f"{CONTRACT}batch.py::test_batch",
    ),
    "softmax over the batch": (
        f"{RULES}completeness.py::test_a_batch_equals_its_examples",
        f"{RULES}rescale_rules.py::test_softmax_is_complete_near_and_far",
    ),
    "a module used twice": (f"{RULES}forms.py::test_reused_module_is_one_function", f"{CONTRACT}form.py::test_form"),
    "a module used off the path": (f"{RULES}activations.py::test_a_module_that_is_also_used_off_the_path",),
    "a module with hooks of the user's": (
        f"{RULES}activations.py::test_modules_that_carry_hooks_of_the_users",
        f"{RULES}activations.py::test_hooks_on_gradients_are_no_part_of_the_function",
        f"{LAYERS}structure.py::test_hooks_of_the_users_own",
    ),
    "guided backpropagation that is the plain gradient": (
        f"{RULES}guided.py::test_every_form_of_relu",
        f"{RULES}guided.py::test_smooth_and_leaky_rectifiers_by_their_slope",
        f"{RULES}guided.py::test_other_rectifiers_are_counted",
        f"{RULES}guided.py::test_compiled_models_are_those_that_were_compiled",
    ),
    "rules lost after the first call": (f"{LRP}forms.py::test_rules_stay_and_nothing_else_is_left",),
    "residual sums that do not conserve": (
        f"{LRP}conservation.py::test_bias_free_nets_conserve",
        f"{LRP}conservation.py::test_the_audit_accounts_for_every_share",
    ),
    "a delta of custom attributions": ("tests/differential/test_special_cases.py::test_custom_attribution_functions",),
    "patches that stay for the whole process": (
        f"{CONTRACT}residue.py::test_residue",
        f"{CONTRACT}residue.py::test_the_fingerprint_sees",
    ),
}

PATHS = {
    "trapezoid weights that do not sum to one": (
        f"{CORE}quadrature.py::test_weights_sum_to_one_and_nodes_lie_on_the_path",
        "tests/differential/test_special_cases.py::test_a_deliberate_difference_trapezoid",
    ),
    "conductance without its ends": (
        f"{LAYERS}seed_figures.py::test_layer_conductance_is_exact",
        f"{CONTRACT}completeness.py::test_completeness",
    ),
    "steps of lower precision than the model": (
        f"{CONTRACT}completeness.py::test_completeness",
        f"{ATTR}closed_forms.py::test_quadratic",
    ),
    "results of lower precision than the inputs": (f"{CONTRACT}precision.py::test_precision",),
    "an integral that has not converged": (
        f"{ATTR}sampling.py::test_an_integral_that_has_not_converged_says_which_steps_would_do",
    ),
}

PERTURBATION = {
    "a mask with fewer dimensions than the input": (
        f"{CORE}game.py::test_a_small_mask_and_a_chunk_of_as_many_perturbations_as_examples",
        f"{CORE}game.py::test_a_mask_with_as_many_entries_as_examples_is_aligned_with_the_last_dimension",
        f"{CORE}game.py::test_masks_of_any_shape_that_broadcasts",
    ),
    "outputs checked at the first call only": (f"{CORE}game.py::test_a_function_whose_output_changes_its_shape",),
    "one value per batch and several perturbations": (
        f"{CORE}game.py::test_one_value_per_batch",
        f"{ATTR}perturbation.py::test_one_value_per_batch",
        f"{CORE}expansion.py::test_one_value_per_batch",
    ),
    "ids shared between tensors": (f"{CORE}game.py::test_ids_shared_by_tensors_mean_one_feature_or_two",),
    "NaN and infinity in padding": (
        f"{ATTR}perturbation.py::test_padding_with_nan_and_infinity",
        f"{CORE}game.py::test_padding_stays_with_its_own_feature",
        "tests/test_errors.py::test_refused_before_the_model_runs",
    ),
    "permutation of one example": (f"{ATTR}perturbation.py::test_refused_before_the_model_runs",),
    "permutation without repeats": (
        f"{ATTR}perturbation.py::test_standard_errors_of_permutation",
        f"{ATTR}perturbation.py::test_permutation_of_an_additive_model_is_its_definition",
    ),
    "few coalitions for many features": (
        f"{ATTR}kernel_shap.py::test_the_default_is_enough_for_two_hundred_features",
        f"{CORE}shapley_regression.py::test_the_default_budget_grows_with_the_features",
        f"{ATTR}kernel_shap.py::test_errors_are_honest_and_smaller_than_those_of_orders",
    ),
    "a penalty of fixed size": (
        f"{ATTR}lime.py::test_scaling_the_model_scales_the_attributions",
        f"{CONTRACT}scale.py::test_scale",
    ),
    "gaps between the ids of a mask": ("tests/test_waste.py::test_gaps_between_the_ids_of_a_mask_cost_nothing",),
    "edge lists repeated as if they were a batch": (
        f"{CORE}expansion.py::test_a_graph_with_its_edges_as_additional_argument",
        f"{CORE}expansion.py::test_as_many_nodes_as_the_edge_list_has_rows",
        f"{ATTR}perturbation.py::test_graphs",
    ),
}

SAMPLING = {
    "random numbers of NumPy's": (
        f"{CONTRACT}generators.py::test_generators",
        f"{ATTR}sampling.py::test_numpy_neither_decides_what_is_drawn_nor_moves",
    ),
    "baseline rows of a tuple drawn independently": (
        f"{ATTR}sampling.py::test_rows_of_a_tuple_of_baselines_belong_together",
        f"{ATTR}against_references.py::test_joint_rows_of_a_distribution_stay_together",
    ),
    "noise on token ids": (f"{ATTR}sampling.py::test_noise_is_added_to_no_ids",),
    "negative variances": (f"{ATTR}sampling.py::test_variances_are_not_negative_beside_large_means",),
    "half precision that crashes": (f"{CONTRACT}precision.py::test_precision",),
    "five samples with nothing said": (
        f"{ATTR}sampling.py::test_five_samples_of_expected_gradients_say_how_noisy_they_are",
        f"{ATTR}against_references.py::test_standard_errors_cover_the_truth",
    ),
}

LAYERS_AND_NEURONS = {
    "a layer that is called twice": (
        f"{LAYERS}calls.py::test_sum_is_the_sum_of_each",
        f"{LAYERS}calls.py::test_both_calls_are_values_of_the_rest",
    ),
    "the axis of channels among tokens": (f"{LAYERS}errors.py::test_tokens_take_the_right_axes",),
    "an empty tensor instead of an error": (f"{LAYERS}errors.py::test_guided_grad_cam_with_maps_that_do_not_fit",),
    "a target that is applied twice": (
        f"{LAYERS}perturbation.py::test_the_target_is_applied_once",
        f"{LAYERS}perturbation.py::test_a_target_per_example_with_as_many_classes_as_examples",
    ),
    "arguments of the gradient that are dropped": (
        f"{LAYERS}errors.py::test_grad_kwargs",
        f"{LAYERS}errors.py::test_unused_layers_are_an_error_if_asked",
        f"{LAYERS}errors.py::test_layers_without_influence",
        f"{LAYERS}state.py::test_gradients_that_are_wanted_again",
    ),
    "layers called by keyword, or with None and dictionaries": (
        f"{LAYERS}structure.py::test_keyword_only_inputs",
        f"{LAYERS}structure.py::test_structures_do_not_matter",
    ),
}

STATE = {
    "a model left in training mode": (
        f"{CONTRACT}residue.py::test_a_model_in_training_mode_is_named",
        f"{CONTRACT}residue.py::test_residue",
        "tests/test_errors.py::test_warnings_that_name_what_is_wrong",
    ),
    "two threads on one model": (
        f"{CONTRACT}threads.py::test_threads",
        f"{LAYERS}state.py::test_four_threads_on_different_layers_agree_exactly",
        f"{LRP}forms.py::test_threads_with_different_rules_agree_with_one_after_the_other",
    ),
    "traces, above all after an error": (
        f"{CONTRACT}residue.py::test_residue",
        f"{LAYERS}state.py::test_after_a_call_and_after_a_failure_at_every_evaluation",
        f"{RULES}safety.py::test_nothing_is_left_behind_after_an_error",
    ),
    "unknown keywords": (
        f"{CONTRACT}keywords.py::test_an_unknown_keyword_is_an_error_before_the_model_runs",
        "tests/test_errors.py::test_refused_before_the_model_runs",
    ),
    "loaders that shuffle": (f"{ATTR}dataloader.py::test_loaders_that_change_are_refused",),
    "classes by identity": (f"{ATTR}statistics.py::test_classes_by_value",),
}

ROBUSTNESS_AND_METRICS = {
    "logits taken for a loss": (f"{ROBUST}fgsm_pgd.py::test_on_logits_the_targets_probability_falls",),
    "tiny gradients that move nothing": (
        f"{ROBUST}fgsm_pgd.py::test_tiny_gradients_move_and_vanished_ones_are_said",
        f"{ROBUST}fgsm_pgd.py::test_a_confident_model_is_attacked_all_the_same",
        f"{ROBUST}evaluator.py::test_saturated_cross_entropy_is_flagged_and_yet_attacked",
    ),
    "a target that was forgotten": (
        f"{METRICS}infidelity.py::test_a_forgotten_target_is_an_error",
        f"{METRICS}laws.py::test_a_forgotten_target_is_an_error_and_nothing_is_computed",
    ),
}

TEXTS = {
    "repeated tokens merged": (
        f"{IDS}embed.py::test_repeated_ids_keep_their_own_values",
        f"{PLOTS}text_plots.py::test_special_tokens_and_repeats_keep_their_own_values",
    ),
}

DRAWING = {
    "series on a new matplotlib": (f"{PLOTS}series_plots.py::test_panels_lines_and_labels",),
    "maps of zeros": (
        f"{PLOTS}series_plots.py::test_a_single_point_and_an_all_zero_map",
        f"{PLOTS}image_plots.py::test_nothing_to_see_is_said",
        f"{PLOTS}report_panels.py::test_map_of_zeros",
    ),
    "markup that is not escaped": (
        f"{PLOTS}text_plots.py::test_hostile_tokens_stay_text",
        f"{PLOTS}text_plots.py::test_hostile_records_stay_text",
        "tests/report/test_report_page.py::test_hostile_names_stay_text",
        "tests/test_compare.py::test_pages_escape_what_users_name",
    ),
}

WASTE = {
    "one pass for each feature": ("tests/test_waste.py::test_a_hundred_features_take_few_passes_by_default",),
    "all steps in one pass": (
        "tests/test_memory.py::test_peak_memory_is_flat_in_steps_and_samples",
        "tests/test_memory.py::test_rows_that_keep_more_make_smaller_chunks",
    ),
    "all orders where all subsets suffice": (f"{ATTR}perturbation.py::test_twelve_features_cost_at_most_4200_rows",),
    "beginnings of orders that are evaluated again": (
        f"{CORE}game.py::test_equal_coalitions_are_evaluated_once",
        "tests/test_waste.py::test_a_hundred_features_take_few_passes_by_default",
    ),
    "bookkeeping for each feature or order": (
        "tests/test_waste.py::test_bookkeeping_is_done_by_the_chunk_and_not_by_the_feature",
    ),
    "sums of features times outputs times inputs": (
        "tests/test_waste.py::test_results_are_not_accumulated_per_feature",
        "tests/test_memory.py::test_peak_memory_is_flat_in_features",
        f"{ATTR}shapley_sampling.py::test_many_features_and_outputs_in_slices",
    ),
    "the part before a layer, at every step": (
        f"{LAYERS}replay.py::test_the_part_before_the_layer_does_not_run",
        f"{LAYERS}replay.py::test_what_can_be_replayed_is",
    ),
    "passes for a delta": ("tests/test_waste.py::test_a_delta_costs_no_pass",),
    "baselines in every chunk": ("tests/test_waste.py::test_baselines_are_evaluated_once_whatever_the_chunks",),
    "a pass for each neuron or target": (
        f"{LAYERS}several.py::test_targets_share_the_forward_pass",
        f"{LAYERS}several.py::test_neurons_share_the_forward_pass",
    ),
    "signatures read at every evaluation": ("tests/test_waste.py::test_signatures_are_not_read_at_every_evaluation",),
    "gradients of weights": ("tests/test_waste.py::test_no_gradient_of_a_weight_is_computed",),
}

PITFALLS = {
    **RULE_BASED,
    **PATHS,
    **PERTURBATION,
    **SAMPLING,
    **LAYERS_AND_NEURONS,
    **STATE,
    **ROBUSTNESS_AND_METRICS,
    **TEXTS,
    **DRAWING,
    **WASTE,
}
"""By what goes wrong, the tests that would see it."""

LATER = {
    "concept vectors of another model, activations of a former one": "pellucid.concept",
    "gradients by example without biases and heads, or wrong for some layers": "pellucid.influence",
    "models left at their last checkpoint": "pellucid.influence",
    "generators that a constructor sets": "pellucid.influence",
    "losses of training examples used for test points": "pellucid.influence",
    "gates of features": "pellucid.module",
    "prompts that a cache is fed several times": "pellucid.attr.LLMAttribution",
}
"""By what can go wrong, the part that it concerns: when the part is there, the line needs a test."""
